/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MODEL_JSON_H
#define VPI_MODEL_JSON_H

/*
 * Strict reading of JSON with jansson. Unknown fields are refused by name. 64-bit numbers that may pass 2^53
 * are decimal strings; readers also take an integer. Errors are DATA with the reason given at the start of
 * the document (INPUT_CORRUPT), the message names the field: "ladder.rungs[2].kbps: not a positive integer".
 */

#include <jansson.h>

#include "base/buf.h"
#include "base/common.h"
#include "base/error.h"

/* Parses exactly size bytes, refuses doubled keys and NUL; what names the document in messages ("ladder"). */
vp_status vpi_json_parse(const void *data, size_t size, const char *what, json_t **out, vp_error *err);
/* An object with no field outside the NULL-ended list. where: path for messages. */
vp_status vpi_json_fields(const json_t *object, const char *where, const char *const *allowed, vp_error *err);
/* "vodpipe": 1; VERSION for a higher one; required says whether it may be missing. */
vp_status vpi_json_version(const json_t *object, const char *where, bool required, vp_error *err);
/* Optional getters leave *out alone when the field is missing; with required it is an error. */
vp_status vpi_json_u64(const json_t *object, const char *where, const char *name, bool required, uint64_t max,
                       uint64_t *out, vp_error *err);
vp_status vpi_json_i64(const json_t *object, const char *where, const char *name, bool required, int64_t *out,
                       vp_error *err);
vp_status vpi_json_u32(const json_t *object, const char *where, const char *name, bool required, uint32_t max,
                       uint32_t *out, vp_error *err);
vp_status vpi_json_bool(const json_t *object, const char *where, const char *name, bool required, bool *out,
                        vp_error *err);
/* Copy with vpi_strdup; *out is freed first when not NULL. */
vp_status vpi_json_str(const json_t *object, const char *where, const char *name, bool required, char **out,
                       vp_error *err);
/* "30000/1001" -> num, den, both within 1..2^31-1 (0/1 is allowed for unknown) */
vp_status vpi_json_ratio(const json_t *object, const char *where, const char *name, bool required,
                         uint32_t *num, uint32_t *den, vp_error *err);
/* "16:11", within the same bounds */
vp_status vpi_json_shape(const json_t *object, const char *where, const char *name, bool required,
                         uint32_t *num, uint32_t *den, vp_error *err);
/* Borrowed array or object, NULL when missing and not required; another type is refused. */
vp_status vpi_json_array(const json_t *object, const char *where, const char *name, bool required,
                         const json_t **out, vp_error *err);
vp_status vpi_json_object(const json_t *object, const char *where, const char *name, bool required,
                          const json_t **out, vp_error *err);

/* Writers return false on no memory. Names are kept in order of setting. */
bool vpi_json_set_u64s(json_t *object, const char *name, uint64_t v); /* as a decimal string */
bool vpi_json_set_u64(json_t *object, const char *name, uint64_t v);  /* as a number; v below 2^53 */
bool vpi_json_set_i64(json_t *object, const char *name, int64_t v);
bool vpi_json_set_str(json_t *object, const char *name,
                      const char *v); /* invalid UTF-8 is replaced, not refused */
bool vpi_json_set_bool(json_t *object, const char *name, bool v);
bool vpi_json_set_ratio(json_t *object, const char *name, uint64_t num, uint64_t den);
bool vpi_json_set_shape(json_t *object, const char *name, uint64_t num, uint64_t den); /* "16:11" */
/* Compact, in order, no trailing newline; steals nothing. */
vp_status vpi_json_dump(const json_t *json, vpi_buf *out, vp_error *err);
/* For documents that people read: two spaces of indent and a trailing newline. */
vp_status vpi_json_dump_pretty(const json_t *json, vpi_buf *out, vp_error *err);

#endif
