/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where credentials come from: shared files, commands, JSON, answers of STS; the first byte tells which. */
#include "fuzz.h"

#include "s3/credentials.h"

/* A setting that fits a line comes out of one that is written anew. */
static void again(const vpi_s3_setting *s)
{
    vpi_buf b = { 0 };
    vpi_s3_ini ini;
    const char *value;

    if (s->sub || !s->value[0] || strchr(s->value, '\n') || strlen(s->name) + strlen(s->value) > 10000)
        return;
    vpi_buf_printf(&b, "[x]\n%s=%s", s->name, s->value);
    FUZZ_CHECK(vpi_s3_ini_parse(&ini, b.data, b.size, true, NULL) == VP_OK);
    value = vpi_s3_ini_get(&ini, VPI_S3_PROFILE, "x", s->name, NULL);
    FUZZ_CHECK(value && strcmp(value, s->value) == 0);
    vpi_s3_ini_dispose(&ini);
    vpi_buf_dispose(&b);
}

static bool inside(const vpi_s3_ini *ini, const char *text)
{
    return text >= ini->text && text + strlen(text) <= ini->text + ini->size;
}

static void check_file(const uint8_t *d, size_t size, bool credentials)
{
    vp_error err = VP_ERROR_INIT;
    vpi_s3_ini ini;
    vp_status st = vpi_s3_ini_parse(&ini, d, size, credentials, &err);

    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK && ini.count);
    for (size_t i = 0; i < ini.count; i++) {
        const vpi_s3_setting *s = &ini.settings[i];

        FUZZ_CHECK(inside(&ini, s->in) || strcmp(s->in, "default") == 0);
        FUZZ_CHECK(vpi_s3_ini_has(&ini, s->section, s->in));
        if (!s->name) continue;
        FUZZ_CHECK(inside(&ini, s->name) && inside(&ini, s->value) && (!s->sub || inside(&ini, s->sub)));
        if (i < 50) again(s);
    }
    vpi_s3_ini_dispose(&ini);
}

static void check_words(const uint8_t *d, size_t size)
{
    char *text = malloc(size + 1), **words;
    vp_error err = VP_ERROR_INIT;
    size_t total = 0;
    vp_status st;

    if (!text) abort();
    if (size) memcpy(text, d, size);
    text[size] = 0;
    st = vpi_s3_words(text, &words, &err);
    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK);
    for (size_t i = 0; st == VP_OK && words[i]; i++) total += strlen(words[i]);
    FUZZ_CHECK(total <= size);
    if (st == VP_OK) vpi_free(words);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vp_error err = VP_ERROR_INIT;
    vpi_s3_secret s = { 0 };
    char code[64] = "";
    vp_status st = VP_OK;
    uint8_t *d;

    if (!size) return 0;
    d = fuzz_exact(data + 1, size - 1);
    switch (data[0] % 6) {
    case 0:
    case 1:
        check_file(d, size - 1, data[0] % 6);
        break;
    case 2:
        check_words(d, size - 1);
        break;
    case 3:
    case 4:
        st =
            vpi_s3_json(d, size - 1, data[0] % 6 == 3 ? VPI_S3_FORM_PROCESS : VPI_S3_FORM_METADATA, &s, &err);
        FUZZ_CHECK(st < 0 || (s.access_key && s.secret_key));
        break;
    default:
        st = vpi_s3_sts_answer(d, size - 1, &s, code, &err);
        FUZZ_CHECK(st < 0 || !s.access_key == (code[0] != 0));
        break;
    }
    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(s.access_key != NULL);
    FUZZ_CHECK(!s.access_key || (s.access_key[0] && s.secret_key[0] && s.expires_us >= 0));
    vpi_s3_secret_wipe(&s);
    free(d);
    return 0;
}
