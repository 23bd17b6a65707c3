/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kafka_worker.h"

/*
 * Messages run on threads of their own, --tasks at a time. This thread goes on polling, so however long a task takes
 * the group never misses this member (max.poll.interval.ms). What comes meanwhile, or before its time, waits; a
 * partition with enough that waits is paused. An offset is stored, and so committed, only when its message and all
 * before it are dealt with: done, put off by a copy in the retry topic, or dead.
 */

#define POLL_MS 50
#define MOST_ASIDE 16   /* messages that wait before their partition is paused, until all of them are gone */
#define MOST_WAITS 1000 /* times that a message is put off before it is given up */

typedef enum { DONE, PUT_OFF, GIVE_UP, SUSPENDED } verdict;

struct loop;

/* A message that is not dealt with yet. */
typedef struct item {
    struct loop *loop;
    rd_kafka_message_t *message;
    int64_t due_ms;
    int64_t next; /* offset behind it and those after it that are dealt with */
    bool running; /* from here on the thread's until ended */
    bool lost;    /* its partition went to another member, which deals with it */
    pthread_t thread;
    atomic_bool ended;
    verdict verdict;
    vp_error err;
} item;

typedef struct loop {
    host host;
    const role *role;
    rd_kafka_t *consumer;
    rd_kafka_topic_partition_list_t *paused;
    item **items; /* those of a partition in their order */
    size_t count, room;
    uint32_t running;
    bool broken;
} loop;

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1; /* the next one ends the process: SA_RESETHAND */
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- one message, on its thread ---- */

/* What to do about a task that failed. It is tried again unless that cannot help, here or elsewhere. */
static verdict judge(vp_status st, const vp_error *err, bool last_attempt)
{
    if (st == VP_AGAIN) return PUT_OFF;
    if (st >= 0) return DONE;
    if (st == VP_E_CANCELED) return SUSPENDED;
    /* What a needed task made is damaged: that one is run again. */
    bool mends = st == VP_E_DATA && !strcmp(err->reason, "CHECKSUM_MISMATCH");
    if (st == VP_E_ARG || (st == VP_E_DATA && !mends) || st == VP_E_UNSUPPORTED || st == VP_E_VERSION)
        return GIVE_UP;
    if (st == VP_E_CONFLICT && strcmp(err->reason, "BUILD_MISMATCH") != 0) return GIVE_UP;
    return last_attempt ? GIVE_UP : PUT_OFF;
}

/* Waits for others, and for brokers, count as no attempt. */
static bool only_waits(vp_status st, const vp_error *err)
{
    return st == VP_AGAIN || (st == VP_E_HOST && !strcmp(err->reason, "KAFKA")) ||
           (st == VP_E_CONFLICT &&
            (!strcmp(err->reason, "TASKS_MISSING") || !strcmp(err->reason, "ALREADY_RUNNING")));
}

static verdict run_counted(loop *l, const title *t, const order *o, vp_error *err)
{
    attempt a;
    vp_status st = attempt_begin(&a, t->work, l->role->counted ? l->role->counted : o->task,
                                 l->host.options->attempts, err);
    if (st == VP_OK) {
        say("start %s %.12s", o->task, o->plan);
        st = l->role->run(&l->host, t, o, err);
    }
    bool waits = only_waits(st, err);
    verdict v = waits ? PUT_OFF : judge(st, err, a.number >= a.most);
    attempt_end(&a, v == DONE || v == GIVE_UP ? COUNT_NONE : waits || v == SUSPENDED ? COUNT_NOT : COUNT_IT);
    return v;
}

/* There is no plan to run it by: the title is out, or its folders are not to be seen here. Waits are counted then. */
static verdict run_without_plan(loop *l, const title *t, const order *o, vp_status st, vp_error *err)
{
    if (st >= 0) st = l->role->run(&l->host, t, o, err);
    bool seen = strcmp(err->reason, "PLAN_MISSING") != 0;
    return judge(st, err, !seen && o->waits + 1 >= l->host.options->attempts);
}

static int64_t header_number(const rd_kafka_message_t *m, const char *name)
{
    rd_kafka_headers_t *headers = NULL;
    const void *value;
    size_t size;
    char text[32] = "";
    if (rd_kafka_message_headers(m, &headers) || rd_kafka_header_get_last(headers, name, &value, &size) ||
        !value || size >= sizeof(text))
        return 0;
    memcpy(text, value, size);
    return strtoll(text, NULL, 10);
}

static void *run_message(void *arg)
{
    item *i = arg;
    loop *l = i->loop;
    title t = { 0 };
    order o = { 0 };
    vp_error_init(&i->err);
    vp_status st = order_parse(&o, i->message->payload, i->message->len, &i->err);
    o.waits = header_number(i->message, HEADER_WAITS);
    if (st >= 0) st = title_open(&t, l->host.context, &o, &i->err);
    i->verdict =
        st >= 0 && t.plan ? run_counted(l, &t, &o, &i->err) : run_without_plan(l, &t, &o, st, &i->err);
    static const char *const words[] = { "done", "put off", "give up", "suspended" };
    say("%s %s %.12s%s%s %s", words[i->verdict], o.task ? o.task : "-", o.plan ? o.plan : "-",
        i->err.reason[0] ? " " : "", i->err.reason, i->err.message);
    title_close(&t);
    order_free(&o);
    atomic_store(&i->ended, true);
    return NULL;
}

/* ---- the messages in hand ---- */

static bool is_of(const item *i, const char *name, int32_t partition)
{
    return !i->lost && i->message->partition == partition &&
           !strcmp(rd_kafka_topic_name(i->message->rkt), name);
}

static bool add_item(loop *l, rd_kafka_message_t *m, int64_t due_ms)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        item **items = realloc(l->items, room * sizeof(item *));
        if (!items) return false;
        l->items = items;
        l->room = room;
    }
    item *i = calloc(1, sizeof(*i));
    if (!i) return false;
    i->loop = l;
    i->message = m;
    i->due_ms = due_ms;
    i->next = m->offset + 1;
    atomic_init(&i->ended, false);
    l->items[l->count++] = i;
    return true;
}

static void drop_item(loop *l, size_t at)
{
    rd_kafka_message_destroy(l->items[at]->message);
    free(l->items[at]);
    memmove(&l->items[at], &l->items[at + 1], (l->count - at - 1) * sizeof(item *));
    l->count--;
}

/*
 * After every change of what waits. Pausing throws away what is on its way, so it is not done for each message: where
 * messages come and go fast, a partition would never get through.
 */
static void direct(loop *l)
{
    rd_kafka_topic_partition_list_t *all = NULL, *stop = rd_kafka_topic_partition_list_new(8),
                                    *go = rd_kafka_topic_partition_list_new(8);
    if (rd_kafka_assignment(l->consumer, &all) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        for (int n = 0; n < all->cnt; n++) {
            const rd_kafka_topic_partition_t *p = &all->elems[n];
            size_t wait = 0;
            for (size_t i = 0; i < l->count; i++)
                wait += !l->items[i]->running && is_of(l->items[i], p->topic, p->partition);
            bool is = rd_kafka_topic_partition_list_find(l->paused, p->topic, p->partition) != NULL;
            if (!is && wait >= MOST_ASIDE) rd_kafka_topic_partition_list_add(stop, p->topic, p->partition);
            if (is && !wait) rd_kafka_topic_partition_list_add(go, p->topic, p->partition);
        }
        rd_kafka_topic_partition_list_destroy(all);
    }
    if (stop->cnt) rd_kafka_pause_partitions(l->consumer, stop);
    if (go->cnt) rd_kafka_resume_partitions(l->consumer, go);
    for (int i = 0; i < stop->cnt; i++)
        rd_kafka_topic_partition_list_add(l->paused, stop->elems[i].topic, stop->elems[i].partition);
    for (int i = 0; i < go->cnt; i++)
        rd_kafka_topic_partition_list_del(l->paused, go->elems[i].topic, go->elems[i].partition);
    rd_kafka_topic_partition_list_destroy(stop);
    rd_kafka_topic_partition_list_destroy(go);
}

/* A partition goes to another member: whatever came from it and is not dealt with comes there again. */
static void forget_partition(loop *l, const char *name, int32_t partition)
{
    for (size_t i = l->count; i-- > 0;) {
        if (!is_of(l->items[i], name, partition)) continue;
        if (l->items[i]->running)
            l->items[i]->lost = true;
        else
            drop_item(l, i);
    }
    rd_kafka_topic_partition_list_del(l->paused, name, partition);
}

/* From rd_kafka_consumer_poll() and rd_kafka_consumer_close(). */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t *parts,
                         void *opaque)
{
    loop *l = opaque;
    rd_kafka_error_t *error;
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        error = rd_kafka_incremental_assign(rk, parts);
    } else {
        rd_kafka_resume_partitions(rk, parts); /* librdkafka would keep one paused that comes back */
        for (int i = 0; i < parts->cnt; i++)
            forget_partition(l, parts->elems[i].topic, parts->elems[i].partition);
        error = rd_kafka_incremental_unassign(rk, parts);
    }
    if (error) complain("rebalance: %s", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    direct(l);
}

/* ---- messages ---- */

static void add_number(rd_kafka_headers_t *headers, const char *name, int64_t number)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)number);
    rd_kafka_header_add(headers, name, -1, text, -1);
}

/* The body as it was, and headers that say why. The key is what keeps a task's messages together. */
static bool send_on(loop *l, const item *i, topic to, int64_t waits)
{
    const rd_kafka_message_t *m = i->message;
    char key[256], from[300], at[300] = "";
    batch sent = { 0 };
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    snprintf(key, sizeof(key), "%.*s", (int)(m->key_len < 255 ? m->key_len : 255),
             m->key ? (const char *)m->key : "");
    add_number(headers, HEADER_WAITS, waits);
    if (to == l->role->retry) {
        add_number(headers, HEADER_NOT_BEFORE, now_ms() + l->host.options->retry_ms);
    } else {
        gethostname(at, sizeof(at) - 1);
        snprintf(from, sizeof(from), "%s/%d/%lld", rd_kafka_topic_name(m->rkt), (int)m->partition,
                 (long long)m->offset);
        rd_kafka_header_add(headers, "vodpipe-from", -1, from, -1);
        rd_kafka_header_add(headers, "vodpipe-worker", -1, at, -1);
    }
    rd_kafka_header_add(headers, "vodpipe-reason", -1, i->err.reason, -1);
    rd_kafka_header_add(headers, "vodpipe-error", -1, i->err.message, -1);
    bus_send(&l->host.bus, &sent, to, key, m->payload, m->len, headers);
    return bus_wait(&l->host.bus, &sent, NULL) >= 0;
}

/*
 * What is stored is sent every auto.commit.interval.ms, on leaving, and before a partition is handed over. Not for each
 * message: a rebalance waits until no commit is under way, for ever where short messages always have one there.
 */
static void store_offset(loop *l, const rd_kafka_message_t *m, int64_t next)
{
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(one, rd_kafka_topic_name(m->rkt), m->partition)->offset = next;
    rd_kafka_resp_err_t e = rd_kafka_offsets_store(l->consumer, one);
    if (e) complain("offset: %s", rd_kafka_err2str(e));
    rd_kafka_topic_partition_list_destroy(one);
}

/* Its message is dealt with. An earlier one of its partition that is not carries its offset on. */
static void dealt_with(loop *l, size_t at)
{
    const item *i = l->items[at];
    for (size_t before = at; before-- > 0;) {
        if (!is_of(l->items[before], rd_kafka_topic_name(i->message->rkt), i->message->partition)) continue;
        l->items[before]->next = i->next;
        return;
    }
    store_offset(l, i->message, i->next);
}

/* Its thread has ended. A message that could not be sent on stays with the group, and this program ends. */
static void settle(loop *l, size_t at)
{
    item *i = l->items[at];
    bool ok = true;
    pthread_join(i->thread, NULL);
    l->running--;
    int64_t waits = header_number(i->message, HEADER_WAITS) + 1;
    if (i->verdict == PUT_OFF && waits > MOST_WAITS) i->verdict = GIVE_UP;
    if (!i->lost) {
        if (i->verdict == PUT_OFF) ok = send_on(l, i, l->role->retry, waits);
        if (i->verdict == GIVE_UP) ok = send_on(l, i, TOPIC_DEAD, waits - 1);
        if (!ok) l->broken = true;
        if (ok && i->verdict != SUSPENDED) {
            dealt_with(l, at);
        } else {
            i->running = false; /* holds back the offsets behind it */
            i->due_ms = INT64_MAX;
            return;
        }
    }
    drop_item(l, at);
}

static void start(loop *l, item *i)
{
    i->running = true;
    if (pthread_create(&i->thread, NULL, run_message, i) == 0) {
        l->running++;
        return;
    }
    complain("no thread");
    i->running = false;
    l->broken = true;
}

static void arrive(loop *l, rd_kafka_message_t *m)
{
    if (m->err) {
        complain("%s: %s", rd_kafka_err2name(m->err), rd_kafka_message_errstr(m));
        l->broken = l->broken || rd_kafka_fatal_error(l->consumer, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_message_destroy(m);
    } else if (!add_item(l, m, header_number(m, HEADER_NOT_BEFORE))) {
        l->broken = true;
        rd_kafka_message_destroy(m);
    }
}

/* ---- all of it ---- */

static bool subscribe(loop *l)
{
    static const char *const fixed[][2] = {
        { "enable.auto.offset.store", "false" }, /* by store_offset() alone */
        { "enable.auto.commit", "true" },
        { "auto.commit.interval.ms", "500" },
        { "partition.assignment.strategy", "cooperative-sticky" }, /* members keep what they work on */
        { "auto.offset.reset", "earliest" },
        { "queued.min.messages", "1" },
    };
    const options *o = l->host.options;
    char text[256];
    rd_kafka_conf_t *conf = bus_conf(o);
    if (!conf) return false;
    rd_kafka_conf_set_opaque(conf, l);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    snprintf(text, sizeof(text), "%s.%s", o->name, l->role->group);
    rd_kafka_conf_set(conf, "group.id", text, NULL, 0);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        rd_kafka_conf_set(conf, fixed[i][0], fixed[i][1], NULL, 0);
    l->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (!l->consumer) {
        complain("%s", text);
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_poll_set_consumer(l->consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(2);
    const topic both[2] = { l->role->from, l->role->retry };
    for (size_t i = 0; i < 2; i++) {
        topic_name(o, both[i], text);
        rd_kafka_topic_partition_list_add(topics, text, RD_KAFKA_PARTITION_UA);
    }
    rd_kafka_resp_err_t e = rd_kafka_subscribe(l->consumer, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (e) complain("subscribe: %s", rd_kafka_err2str(e));
    return !e;
}

static bool may_start(const loop *l, const item *i, int64_t now)
{
    if (i->running || i->due_ms > now) return false;
    for (size_t n = 0; l->role->in_order && n < l->count; n++)
        if (l->items[n]->running &&
            is_of(l->items[n], rd_kafka_topic_name(i->message->rkt), i->message->partition))
            return false;
    return true;
}

/* Settles what has ended and, unless the loop drains, starts what is due. */
static void turn(loop *l, bool drain)
{
    int64_t now = now_ms();
    for (size_t i = l->count; i-- > 0;)
        if (l->items[i]->running && atomic_load(&l->items[i]->ended)) settle(l, i);
    for (size_t i = 0; !drain && i < l->count && l->running < l->host.options->tasks; i++)
        if (may_start(l, l->items[i], now)) start(l, l->items[i]);
    direct(l);
}

/* Until SIGTERM or trouble; then what runs may end within the grace, or is stopped and left to others. */
static void serve(loop *l)
{
    int64_t stop_at = 0;
    while (true) {
        turn(l, stop_at != 0);
        if ((stop_wanted || l->broken) && !stop_at) {
            say("draining");
            stop_at = now_ms() + (int64_t)l->host.options->grace_s * 1000;
        }
        if (stop_at && !l->running) return;
        if (stop_at && now_ms() >= stop_at) vp_cancel_fire(l->host.cancel);
        rd_kafka_message_t *m = rd_kafka_consumer_poll(l->consumer, POLL_MS);
        if (m) arrive(l, m);
    }
}

int loop_run(const options *o, const role *r)
{
    loop l = { .host = { .options = o }, .role = r };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
    vp_context_options c = VP_CONTEXT_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    c.threads = o->jobs;
    l.paused = rd_kafka_topic_partition_list_new(8);
    vp_status st = vp_context_new(&c, &l.host.context, &err);
    if (st >= 0) st = vp_cancel_new(&l.host.cancel, &err);
    if (st < 0) complain("%s: %s", err.reason, err.message);
    bool ok = st >= 0 && bus_open(&l.host.bus, o) && subscribe(&l);
    if (ok) {
        serve(&l);
        ok = !l.broken;
    }
    if (l.consumer) {
        rd_kafka_consumer_close(l.consumer); /* commits what is stored and leaves the group */
        while (l.count) drop_item(&l, l.count - 1);
        rd_kafka_destroy(l.consumer);
    }
    bus_close(&l.host.bus);
    free(l.items);
    rd_kafka_topic_partition_list_destroy(l.paused);
    vp_cancel_unref(l.host.cancel);
    vp_context_unref(l.host.context);
    if (ok) say("left");
    return ok ? 0 : 1;
}
