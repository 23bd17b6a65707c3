/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KAFKA_WORKER_H
#define KAFKA_WORKER_H

/*
 * A host that spreads the tasks of titles over machines through Kafka; README.md says how and what it promises.
 *
 *     plan.c     producer: plans a title, sends the tasks that need no other    -> NAME.tasks
 *     work.c     worker: runs a task, tells that it is done                     -> NAME.done
 *     finish.c   finisher: sends tasks whose needs came in, publishes           -> NAME.tasks, NAME.titles
 *     missing.c  which tasks of a title are not done, and sending them
 *     loop.c     the consumer under both: messages run on threads of their own while the group is served
 *     notes.c    attempts, and what else this host keeps in the work store of a title
 *     title.c    what a message says, and the handles that it names
 *     bus.c      topics, and sending to them
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <vodpipe/vodpipe.h>

typedef struct options {
    const char *command;
    const char *brokers;   /* HOST:PORT,... */
    const char *name;      /* what topics and groups begin with */
    const char *extra[32]; /* name=value of librdkafka: security and the like */
    int extra_count;
    uint32_t partitions, replicas; /* topics */
    uint32_t tasks;                /* that run at a time */
    uint32_t attempts, retry_ms, grace_s;
    uint32_t jobs;                  /* threads that compute at a time; 0: what the machine leaves */
    const char *ladder;             /* plan: as vp_ladder_options.rungs */
    vp_transcode_options transcode; /* plan */
    char **args;
    int arg_count;
} options;

/* ---- bus.c ---- */

typedef enum {
    TOPIC_TASKS,       /* one message a task that may run; key: plan/task */
    TOPIC_TASKS_RETRY, /* the same, not before the time in its header */
    TOPIC_DONE,        /* one message a task that is done; key: plan, so that one finisher sees a title's */
    TOPIC_DONE_RETRY,
    TOPIC_DEAD,   /* messages given up, with the reason in their headers */
    TOPIC_TITLES, /* one message a published title */
    TOPIC_COUNT
} topic;

#define HEADER_NOT_BEFORE "vodpipe-not-before" /* milliseconds since 1970 */
#define HEADER_WAITS "vodpipe-waits"           /* how often it was put off */

typedef struct bus {
    const options *options;
    rd_kafka_t *producer;
} bus;

/* What one thread sent and waits for. */
typedef struct batch {
    atomic_int pending, failed;
} batch;

void topic_name(const options *o, topic which, char to[128]);
/* What -X and --brokers say. NULL: wrong, and the line was printed. */
rd_kafka_conf_t *bus_conf(const options *o);
bool bus_open(bus *b, const options *o);
void bus_close(bus *b);
/* Queues a copy. headers (may be NULL) are taken over. After any bus_send() comes bus_wait(). Any thread. */
void bus_send(bus *b, batch *sent, topic to, const char *key, const void *data, size_t size,
              rd_kafka_headers_t *headers);
/* Waits until brokers have all of it; VP_E_HOST: some are not there. */
vp_status bus_wait(bus *b, batch *sent, vp_error *err);
int cmd_topics(const options *o);

/* ---- title.c ---- */

/* A message of tasks or done: a task as `vodpipe plan` prints it, and where its title is. */
typedef struct order {
    json_t *json;
    const char *plan, *task, *request, *input, *output, *work; /* borrowed from json */
    int64_t waits;                                             /* how often it was put off */
} order;

/* DATA INPUT_CORRUPT names the field. */
vp_status order_parse(order *o, const void *data, size_t size, vp_error *err);
void order_free(order *o);

/* The places of a title, absolute paths. */
typedef struct places {
    const char *input, *output, *work;
} places;

/* Sends one task of vp_plan_summary_json() as a message. */
vp_status order_send(bus *b, batch *sent, topic to, const json_t *task, const char *request, const places *at,
                     vp_error *err);

/* "tasks" of vp_plan_summary_json(); the caller's. */
vp_status plan_tasks(const vp_plan *plan, json_t **tasks, vp_error *err);

typedef struct title {
    vp_store *work;
    vp_sink *sink;
    vp_plan *plan; /* NULL: the title is published, and its plan swept */
} title;

#define PLAN_NAME "plan.json" /* in the work store; removed by vp_plan_finish() with all else of the title */
#define PLAN_MAX ((uint64_t)256 << 20)

vp_status title_open(title *t, vp_context *context, const order *o, vp_error *err);
void title_close(title *t);

/* ---- notes.c ---- */

/*
 * Starts of a task are counted in the work store before it runs, so that one which takes its process down with it is
 * counted too. A lease says that it runs: what comes twice at a time is counted once.
 */
typedef struct attempt {
    vp_store *work;
    vp_lease *lease;
    const char *task;
    uint32_t number, most; /* number 1: the first one; 0: none has begun */
} attempt;
typedef enum {
    COUNT_IT,
    COUNT_NOT, /* as if it had not begun */
    COUNT_NONE /* nor those before */
} counting;

/* VP_AGAIN: it runs elsewhere. LIMIT WORKER_LOST: it was started so often already. attempt_end() always follows. */
vp_status attempt_begin(attempt *a, vp_store *work, const char *task, uint32_t most, vp_error *err);
void attempt_end(attempt *a, counting count);

typedef enum {
    NOTE_SENT, /* its message went out when its needs were in: not again for the news of each of them */
    NOTE_TOLD  /* a finisher knows that it was done: if its record is missing later, it was lost */
} note;
vp_status note_put(vp_store *work, note which, const char *task, vp_error *err);
void note_forget(vp_store *work, note which, const char *task);
vp_status notes_list(vp_store *work, json_t **notes, vp_error *err); /* the caller's, also after an error */
bool note_is(const json_t *notes, note which, const char *task);
void notes_forget(vp_store *work); /* the title is out */

/* ---- loop.c ---- */

typedef struct host {
    const options *options;
    vp_context *context;
    vp_cancel *cancel; /* fires when the grace after SIGTERM is over */
    bus bus;
} host;

typedef struct role {
    topic from, retry;
    const char *group;
    const char *counted; /* name that attempts are counted under; NULL: the task's */
    bool in_order;       /* messages of a partition one after the other: a title's are in one */
    /* On a thread of its own. t->plan NULL: the title is published. OK and END: done; AGAIN: put off. */
    vp_status (*run)(host *h, const title *t, const order *o, vp_error *err);
} role;

/* Until SIGTERM; an exit status. */
int loop_run(const options *o, const role *r);

/* ---- missing.c ---- */

/* vp_plan_finish(). missing: the names as an object, the caller's; NULL where none were told. */
vp_status publish(host *h, const title *t, json_t **missing, vp_error *err);
typedef bool (*chooser)(const order *o, const json_t *notes, const json_t *task, const char *name);
/* Sends those of the missing tasks that may run and are chosen. o: where the title is. */
vp_status send_missing(host *h, const title *t, const order *o, const json_t *missing, chooser is_chosen,
                       vp_error *err);

/* ---- main.c ---- */

void say(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a line on stdout, any thread */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2))); /* on stderr; returns 1 */

int cmd_plan(const options *o);
int cmd_progress(const options *o);
int cmd_work(const options *o);
int cmd_finish(const options *o);

#endif
