/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka_worker.h"

#define DELIVERY_MS "60000" /* a message that no broker took for so long has failed */
#define ANSWER_MS 60000

void topic_name(const options *o, topic which, char to[128])
{
    static const char *const names[TOPIC_COUNT] = { "tasks",      "tasks.retry", "done",
                                                    "done.retry", "dead",        "titles" };
    snprintf(to, 128, "%s.%s", o->name, names[which]);
}

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK) return true;
    complain("%s=%s: %s", name, value, why);
    return false;
}

rd_kafka_conf_t *bus_conf(const options *o)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool ok = set(conf, "bootstrap.servers", o->brokers);
    for (int i = 0; ok && i < o->extra_count; i++) {
        char name[128];
        const char *value = strchr(o->extra[i], '=');
        snprintf(name, sizeof(name), "%.*s", value ? (int)(value - o->extra[i]) : 0, o->extra[i]);
        ok = set(conf, name, value ? value + 1 : o->extra[i]);
    }
    if (ok) return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

/* From any thread's bus_wait(). */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    batch *sent = m->_private;
    (void)rk;
    (void)opaque;
    if (m->err) {
        complain("not delivered: %s", rd_kafka_err2str(m->err));
        atomic_fetch_add(&sent->failed, 1);
    }
    atomic_fetch_sub(&sent->pending, 1); /* the last that is done with sent */
}

bool bus_open(bus *b, const options *o)
{
    char why[256];
    rd_kafka_conf_t *conf = bus_conf(o);
    *b = (bus){ .options = o };
    if (!conf) return false;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    /* All replicas have it, once, before its sender goes on. Keys go to the partitions that Java's clients choose. */
    bool ok = set(conf, "enable.idempotence", "true") && set(conf, "partitioner", "murmur2_random") &&
              set(conf, "message.timeout.ms", DELIVERY_MS) && set(conf, "linger.ms", "5");
    if (ok) b->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    if (b->producer) return true;
    if (ok) complain("%s", why);
    rd_kafka_conf_destroy(conf);
    return false;
}

void bus_close(bus *b)
{
    if (b->producer) rd_kafka_destroy(b->producer);
    b->producer = NULL;
}

void bus_send(bus *b, batch *sent, topic to, const char *key, const void *data, size_t size,
              rd_kafka_headers_t *headers)
{
    char name[128];
    rd_kafka_resp_err_t e;
    topic_name(b->options, to, name);
    if (!headers) headers = rd_kafka_headers_new(1);
    atomic_fetch_add(&sent->pending, 1);
    do {
        e = rd_kafka_producev(b->producer, RD_KAFKA_V_TOPIC(name), RD_KAFKA_V_KEY(key, strlen(key)),
                              RD_KAFKA_V_VALUE((void *)(uintptr_t)data, size), RD_KAFKA_V_HEADERS(headers),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(sent),
                              RD_KAFKA_V_END);
        if (e == RD_KAFKA_RESP_ERR__QUEUE_FULL) rd_kafka_poll(b->producer, 100);
    } while (e == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    if (!e) return;
    rd_kafka_headers_destroy(headers);
    complain("%s: %s", name, rd_kafka_err2str(e));
    atomic_fetch_add(&sent->failed, 1);
    atomic_fetch_sub(&sent->pending, 1);
}

vp_status bus_wait(bus *b, batch *sent, vp_error *err)
{
    while (atomic_load(&sent->pending)) rd_kafka_poll(b->producer, 20);
    if (!atomic_exchange(&sent->failed, 0)) return VP_OK;
    return vp_error_set(err, VP_E_HOST, "KAFKA", 0, "a message could not be sent");
}

/* ---- topics ---- */

static bool created(rd_kafka_event_t *event)
{
    size_t count = 0;
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    if (!result || rd_kafka_event_error(event)) {
        complain("topics: %s", event ? rd_kafka_event_error_string(event) : "no answer");
        return false;
    }
    bool ok = true;
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t e = rd_kafka_topic_result_error(topics[i]);
        bool there = e == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
        say("%s %s", rd_kafka_topic_result_name(topics[i]),
            there ? "was there"
            : e   ? rd_kafka_err2str(e)
                  : "made");
        ok = ok && (!e || there);
    }
    return ok;
}

int cmd_topics(const options *o)
{
    bus b;
    rd_kafka_NewTopic_t *topics[TOPIC_COUNT];
    char why[256];
    int made = 0;
    if (!bus_open(&b, o)) return 1;
    for (; made < TOPIC_COUNT; made++) {
        char name[128];
        bool single = made == TOPIC_DEAD || made == TOPIC_TITLES;
        topic_name(o, (topic)made, name);
        topics[made] =
            rd_kafka_NewTopic_new(name, single ? 1 : (int)o->partitions, (int)o->replicas, why, sizeof(why));
        if (!topics[made]) break;
    }
    bool ok = made == TOPIC_COUNT;
    if (ok) {
        rd_kafka_queue_t *queue = rd_kafka_queue_new(b.producer);
        rd_kafka_CreateTopics(b.producer, topics, TOPIC_COUNT, NULL, queue);
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ANSWER_MS);
        ok = created(event);
        rd_kafka_event_destroy(event);
        rd_kafka_queue_destroy(queue);
    } else {
        complain("topics: %s", why);
    }
    rd_kafka_NewTopic_destroy_array(topics, (size_t)made);
    bus_close(&b);
    return ok ? 0 : 1;
}
