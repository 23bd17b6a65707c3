/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_DIR_SLOT_H
#define VPI_INGEST_DIR_SLOT_H

/*
 * The file of a record: a head, then two slots that are written in turn, all at multiples of 4 KiB and written once in
 * full when the file is made, so that a later put changes no metadata of the file system and needs no free space.
 *
 * The bytes of a small upload may follow behind the slots. There the first slot begins behind the head's 512 bytes,
 * which is what disks write whole, in the same page: a page less to make, to sync and to keep. And the second slot is
 * room only when the file is made, and comes with the bytes.
 *
 * The head holds what only has to be seen by processes of this machine: the fence, and the number of the slot that is
 * known to be durable. It is never synced for its own sake: after a crash of the machine nobody is left who could be
 * behind the fence. What was made and never put is not synced either: with it go no bytes that were confirmed.
 *
 * Where the bytes are inside, one sync makes them and the slot that confirms them durable, in any order. Such a slot
 * carries their CRC-32C: until the head says that it is durable, it counts only as far as they are there.
 */

#include "ingest/dir_int.h"

#define SLOT_PAGE 4096u
#define SLOT_SECTOR 512u
#define SLOT_UNNAMED 0u /* head.durable: neither a slot nor the name of the file is durable yet */
/* Numbers of the first slot: of an upload that nothing is lost with; of one that must be durable when told of. */
#define SLOT_FIRST 1u
#define SLOT_FIRST_DURABLE 2u

typedef struct slot_head {
    uint64_t fence, durable;
    size_t room; /* of a slot; 0: not valid */
    bool inside; /* the bytes are in this file */
} slot_head;

typedef struct slot {
    uint64_t number, fence;
    const uint8_t *record;
    size_t size;
    uint32_t bytes, sum; /* inside: that it confirms, and their CRC-32C */
} slot;

/* What was read of a file. */
typedef struct slot_file {
    vpi_buf bytes;
    uint64_t end; /* of the file */
    unsigned links;
    size_t room;
    slot_head head;
    slot slots[2];
    int newest;  /* -1: none is valid */
    int dropped; /* a slot that confirms what is not there; -1 */
    bool torn;   /* a slot is neither valid nor empty; with none that is valid: something was confirmed */
} slot_file;

/* Room of a slot for a record of this size. */
size_t vpi_slot_room(size_t record, bool inside);
/* The largest record. */
size_t vpi_slot_most(size_t room, bool inside);
/* Where a slot begins; 2: where they end, and bytes that are inside begin. */
uint64_t vpi_slot_at(size_t room, bool inside, unsigned which);

int vpi_slots_read(int fd, slot_file *f);
slot_head vpi_slot_head(int fd); /* room 0: it cannot be read */
/* Slots that are not known to be durable and confirm bytes that are not there are no longer valid. */
int vpi_slots_prove(int fd, slot_file *f);
/* The CRC-32C of `size` bytes from `at`; -ENODATA: there are fewer. */
int vpi_slot_sum(int fd, uint64_t at, uint64_t size, uint32_t *sum);

int vpi_slot_write_at(int fd, const void *data, size_t size, uint64_t offset);
int vpi_slot_write_head(int fd, slot_head h);
/* Head and first slot of a new file, and all room of both. */
int vpi_slots_make(int fd, slot_head h, const slot *first);
/* A slot of h's kind, without what fills its room. */
void vpi_slot_form(uint8_t *p, const slot_head *h, const slot *s);
/* which: 0, 1. */
int vpi_slot_write(int fd, const slot_head *h, unsigned which, const slot *s);
int vpi_slot_wipe(int fd, const slot_head *h, unsigned which);

/* ---- dir_small.c ---- */
void vpi_small_init(dir_store *d);
void vpi_small_dispose(dir_store *d, bool forked);
/* True: the bytes are kept in memory. */
bool vpi_small_keep(dir_item *it, uint64_t offset, const void *data, size_t size);
/* What is kept goes into the file, without a record of it. */
int vpi_small_write(dir_item *it);
/* Whether a put that confirms so many bytes can take them along. */
bool vpi_small_is_all(const dir_item *it, uint64_t size);
/* Second slot and bytes; fills in what s says of the bytes. They are still kept. */
int vpi_small_put(dir_item *it, const slot_head *h, slot *s);
/* Nothing is kept any more. */
void vpi_small_return(dir_item *it);

/* ---- dir_park.c ---- */
void vpi_park_init(dir_store *d);
void vpi_park_dispose(dir_store *d, bool forked);
/* A small one was made with this record. */
void vpi_park_note(dir_item *it, const void *record, size_t size);
/* True: nothing of it changed since, and it is kept for the next who opens it. */
bool vpi_park(dir_item *it);
/* NULL: none of this id; else it is the caller's, to resume or to dispose of. */
dir_item *vpi_unpark(dir_store *d, const char *id);

#endif
