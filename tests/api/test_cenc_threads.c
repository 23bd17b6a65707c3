/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One vp_cenc, many threads, every order: the bytes are those of one thread in order. */

#include <pthread.h>

#include "api/cenc.h"

enum { THREADS = 4, ROUNDS = 6 };

typedef struct track {
    cmaf c;
    vp_cenc *cenc;
    vp_bytes *want[SEGMENTS_MAX];
} track;

typedef struct runner {
    const track *t;
    unsigned number, wrong;
} runner;

/* Each begins at another segment; every second one goes backwards. */
static void *run(void *user)
{
    runner *r = user;
    const track *t = r->t;
    for (unsigned i = 0; i < ROUNDS * t->c.count; i++) {
        unsigned at = (i * (r->number % 2 ? t->c.count - 1 : 1) + r->number) % t->c.count;
        vp_cenc *mine = vp_cenc_ref(t->cenc);
        vp_bytes *made = NULL;
        vp_status st = vp_cenc_segment(mine, at, t->c.segments[at].data, t->c.segments[at].size, &made, NULL);
        bool same = st == VP_OK && vp_bytes_size(made) == vp_bytes_size(t->want[at]) &&
                    !memcmp(vp_bytes_data(made), vp_bytes_data(t->want[at]), (size_t)vp_bytes_size(made));
        r->wrong += !same;
        vp_bytes_unref(made);
        if (vp_cenc_protection_json(mine, &made, NULL) == VP_OK) vp_bytes_unref(made);
        if (vp_cenc_init(mine, &made, NULL) == VP_OK) vp_bytes_unref(made);
        vp_cenc_unref(mine);
    }
    return NULL;
}

static void check(bool video, const char *arguments, uint32_t scheme)
{
    vp_cenc_options o = VP_CENC_OPTIONS_INIT;
    track t = { .cenc = NULL };
    runner runners[THREADS];
    pthread_t threads[THREADS];
    if (!cmaf_make(&t.c, video, arguments, 1)) skip();
    o.scheme = scheme;
    o.segments = t.c.count;
    o.key_rotation = 2;
    o.clear_segments = 1;
    t.cenc = cenc_open(&t.c, &o);
    for (unsigned i = 0; i < t.c.count; i++)
        assert_ok(vp_cenc_segment(t.cenc, i, t.c.segments[i].data, t.c.segments[i].size, &t.want[i], NULL));
    for (unsigned i = 0; i < THREADS; i++) {
        runners[i] = (runner){ &t, i, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(runners[i].wrong, 0);
    }
    for (unsigned i = 0; i < t.c.count; i++) vp_bytes_unref(t.want[i]);
    vp_cenc_unref(t.cenc);
    cmaf_free(&t.c);
}

static void any_order(void **state)
{
    static const char video[] = "-c:v libx264 -preset ultrafast -g 25 -movflags cmaf+frag_keyframe";
    static const char audio[] = "-c:a aac -movflags cmaf -frag_duration 1000000";
    (void)state;
    check(true, video, VP_ENCRYPT_CENC);
    check(true, video, VP_ENCRYPT_CBCS);
    check(false, audio, VP_ENCRYPT_CENC);
    check(false, audio, VP_ENCRYPT_CBCS);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(any_order) };
    if (!vp_feature("crypt")) {
        fprintf(stderr, "skipped: the library is built without encryption\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests_name("cenc_threads", tests, NULL, NULL);
}
