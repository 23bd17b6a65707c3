/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chain: containers, instance metadata, processes; what must not go wrong. argv is the Python to run places.py with
 * and its path.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "unit/memory.h"
#include "unit/s3/places.h"

/* ---- container ---- */

static void container(void **state)
{
    static const char *const refused[] = {
        "http://example.com/x",        "http://127.evil.example/",    "http://169.254.170.3/",
        "http://[fd00:ec2::24]/",      "http://localhost.evil.test/", "ftp://127.0.0.1/",
        "http://127.0.0.1@evil.test/", "http://2130706433/",          "x/secret"
    };

    (void)state;
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/ok"), 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    gives_as(NULL, "AKIDBOX", "box/secret", "box-token==", true);
    assert_non_null(strstr(logged, "the container's endpoint"));
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/token"), 1);
    misses("container endpoint http://127.0.0.1:");
    misses("answers 401");
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token-1", 1);
    gives_as(NULL, "AKIDBOX", "box/secret", "box-token==", true);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t/secret\r\nX: y", 1);
    misses("AWS_CONTAINER_AUTHORIZATION_TOKEN: no token that could be in a header");
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", write_file("box-token", "token-1\n"), 1);
    gives_as(NULL, "AKIDBOX", "box/secret", "box-token==", true);
    write_file("box-token", "");
    misses("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: no token");
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/none", 1);
    misses("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: /none: No such file");
    unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    unsetenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/junk"), 1);
    misses("the answer is not JSON");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/refused"), 1);
    misses("the answer is a refusal, Nothing");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/partial"), 1);
    misses("no SecretAccessKey in the answer");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/big"), 1);
    misses("answers with more than is read");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/500"), 1);
    fails_as(NULL, VP_E_IO, "CONNECTION_FAILED", "answers 500");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/", 1);
    fails_as(NULL, VP_E_IO, "CONNECTION_FAILED", "container endpoint http://127.0.0.1:1");
    for (size_t i = 0; i < VPI_COUNT(refused); i++) {
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", refused[i], 1);
        misses("is neither https nor this machine, ECS or EKS");
    }
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.test/", 1);
    misses("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with \"/\"");
}

/* ---- instance metadata ---- */

static void instance(void **state)
{
    static const struct {
        const char *mode, *text;
    } cases[] = {
        { "v1", "instance metadata http://127.0.0.1:" },
        { "v1", "answers 403" },
        { "none", "no role is attached to the instance" },
        { "refused", "a refusal, AssumeRoleUnauthorizedAccess" },
        { "empty", "an empty answer" },
        { "junk", "the answer is not JSON" },
        { "odd", "what it tells is no role" },
        { "slow", " does not answer in time" },
    };
    char mode[32];
    int64_t began;

    (void)state;
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", here("/imds/ok/"), 1);
    gives_as(NULL, "AKIDEC2", "ec2/secret", "ec2-token==", true);
    assert_non_null(strstr(logged, "instance metadata"));
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", here("/imds/flaky"), 1);
    gives_as(NULL, "AKIDEC2", "ec2/secret", "ec2-token==", true);
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        snprintf(mode, sizeof(mode), "/imds/%s", cases[i].mode);
        setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", here(mode), 1);
        began = vpi_now_us();
        misses(cases[i].text);
        assert_true(vpi_now_us() - began < 5000000);
    }
    config("[default]\nec2_metadata_service_endpoint = http://127.0.0.1:1");
    unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    misses("instance metadata http://127.0.0.1:1: ");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", here("/imds/ok"), 1);
    setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
    misses("AWS_EC2_METADATA_DISABLED is set");
}

/* What the instance tells has run out, and is still good for a while. */
static void expired_instance(void **state)
{
    vpi_s3_secret s = { 0 };
    vp_error err;

    (void)state;
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", here("/imds/old"), 1);
    assert_int_equal(get_as(NULL, NULL, &s, &err), VP_OK);
    assert_true(s.expires_us > vpi_s3_time_us() + 600000000 && s.expires_us < vpi_s3_time_us() + 1200000000);
    vpi_s3_secret_wipe(&s);
}

/* Packets go nowhere: a listening socket whose queue is full. */
static void silence(void **state)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char url[64];
    int64_t began = vpi_now_us();

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(listen(fd, 8), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(at.sin_port));
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url, 1);
    misses("does not answer in time");
    assert_in_range(vpi_now_us() - began, 2900000, 5000000);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write_file("token", "web+token/1"), 1);
    setenv("AWS_ROLE_ARN", "arn", 1);
    setenv("AWS_ENDPOINT_URL_STS", url, 1);
    began = vpi_now_us();
    fails_as(NULL, VP_E_LIMIT, "TIMEOUT", "does not answer in time");
    assert_true(vpi_now_us() - began < 11000000);
    close(fd);
}
/* ---- process ---- */

static void process(const char *script)
{
    char text[512];
    const char *path = write_file("tool.sh", script);

    snprintf(text, sizeof(text), "[default]\ncredential_process = /bin/sh %s \"a b\"\n", path);
    config(text);
}

#define KEYS "{\"Version\":1,\"AccessKeyId\":\"AKIDPROC\",\"SecretAccessKey\":\"proc/secret\""

static void programs(void **state)
{
    (void)state;
    process("echo '" KEYS "}'");
    gives("AKIDPROC", "proc/secret", NULL);
    process("[ $# = 1 ] && echo '" KEYS
            ",\"SessionToken\":\"'$1'\",\"Expiration\":\"2099-01-01T00:00:00Z\"}' | tr ' ' _");
    gives_as(NULL, "AKIDPROC", "proc/secret", "a_b", true);
    process("echo '" KEYS ",\"Expiration\":\"2009-01-01T00:00:00Z\"}'");
    misses("profile default: credential_process (");
    misses("what it tells has expired");
    process("echo '" KEYS "}'; exit 3");
    misses("it ends with status 3");
    process("kill -9 $$");
    misses("signal 9 ended it");
    process("echo proc/secret");
    misses("the answer is not JSON");
    process("exit 0");
    misses("the answer is not JSON");
    process("head -c 70000 /dev/zero");
    misses("it tells more than 64 KiB");
    config("[default]\ncredential_process = /no/such/program x/secret\n");
    misses("it cannot be run: No such file or directory");
    config("[default]\ncredential_process = 'a\n");
    misses("a quotation mark that is not closed");
    /* stdin has nothing, standard error is let through */
    process("read x; echo said >&2; echo '" KEYS "}'");
    gives("AKIDPROC", "proc/secret", NULL);
    /* what stays behind in the background keeps the pipe open, and nobody waiting */
    process("sleep 20 & echo '" KEYS "}'");
    gives("AKIDPROC", "proc/secret", NULL);
    /* closes its output early, ends later */
    process("echo '" KEYS "}'; exec >&-; sleep 0.2; exit 4");
    misses("it ends with status 4");
    /* the source of a role */
    setenv("AWS_ENDPOINT_URL_STS", here("/sts/ok"), 1);
    process("echo '{\"Version\":1,\"AccessKeyId\":\"AKIDSOURCE\",\"SecretAccessKey\":\"source/secret\"}'");
    write_file("roles", "[r]\nrole_arn = arn:r\nsource_profile = default\n");
    setenv("AWS_SHARED_CREDENTIALS_FILE", in_folder("roles"), 1);
    gives_as("r", "AKIDSTS", "sts/secret", "arn:r||", true);
}

/* No descriptor of ours but three, no signal blocked or ignored, a group of its own. */
static void clean_child(void **state)
{
    int open_fd = dup(0);
    sigset_t set, before;

    (void)state;
    assert_true(open_fd > 2);
    signal(SIGTERM, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    /* glibc leaves its own two, which are no signals to others, ignored: 0x180000000 */
    process("set -- /proc/$$/fd/*; m=$(grep -c '^Sig\\(Blk\\|Ign\\):\t0*\\(18\\)\\?0*$' /proc/$$/status)\n"
            "g=$(cut -d' ' -f5 /proc/$$/stat); [ $g = $$ ] && own=y\n"
            "echo '" KEYS ",\"SessionToken\":\"'$#-$m-$own'\"}'");
    gives("AKIDPROC", "proc/secret", "5-2-y"); /* the shell itself has the script and that folder open */
    signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(open_fd);
}

static int children(void)
{
    int n = 0;

    for (pid_t got; (got = waitpid(-1, NULL, WNOHANG)) >= 0; n++)
        if (got == 0) return n + 1; /* the server is one, and runs */
    return n;
}

static volatile sig_atomic_t told;

static void on_child(int number)
{
    (void)number;
    told++;
}

/* With SIGCHLD ignored nobody sees how it ended; with a handler of the host it stays the host's. */
static void host_signals(void **state)
{
    struct sigaction action = { .sa_handler = SIG_IGN }, old, now;

    (void)state;
    process("echo '" KEYS "}'; exit 3");
    assert_int_equal(sigaction(SIGCHLD, &action, &old), 0);
    gives("AKIDPROC", "proc/secret", NULL);
    process("echo");
    misses("the answer is not JSON");
    action.sa_handler = on_child;
    assert_int_equal(sigaction(SIGCHLD, &action, NULL), 0);
    process("exit 7");
    told = 0;
    misses("it ends with status 7");
    assert_int_equal(told, 1);
    assert_int_equal(sigaction(SIGCHLD, &old, &now), 0);
    assert_true(now.sa_handler == on_child);
    assert_int_equal(children(), 1);
}

/* The host has closed its standard descriptors, so that the pipe would be among them. */
static void closed_descriptors(void **state)
{
    int kept[3];

    (void)state;
    process("echo '" KEYS "}'; echo said >&2");
    for (int i = 0; i < 3; i++) {
        kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    gives("AKIDPROC", "proc/secret", NULL);
    for (int i = 0; i < 3; i++) {
        dup2(kept[i], i);
        close(kept[i]);
    }
}

static void *fire(void *arg)
{
    usleep(300000);
    vp_cancel_fire(arg);
    return NULL;
}

static void cancels_in(const char *what)
{
    vpi_s3_secret s = { 0 };
    vp_error err;
    vp_cancel *cancel;
    pthread_t thread;
    int64_t began = vpi_now_us();

    assert_int_equal(vp_cancel_new(&cancel, NULL), VP_OK);
    assert_int_equal(pthread_create(&thread, NULL, fire, cancel), 0);
    if (get_as(NULL, cancel, &s, &err) != VP_E_CANCELED) fail_msg("%s: %s", what, err.message);
    assert_true(vpi_now_us() - began < 1300000);
    pthread_join(thread, NULL);
    vp_cancel_unref(cancel);
    /* a deadline of the host's is told as such */
    assert_int_equal(vp_cancel_new(&cancel, NULL), VP_OK);
    vp_cancel_deadline(cancel, 300);
    assert_int_equal(get_as(NULL, cancel, &s, &err), VP_E_LIMIT);
    assert_string_equal(err.reason, "TIMEOUT");
    vp_cancel_unref(cancel);
    assert_int_equal(children(), 1);
}

static void cancels(void **state)
{
    (void)state;
    process("sleep 30");
    cancels_in("process");
    process("exec >&-; sleep 30");
    cancels_in("process without output");
    process("trap '' TERM INT HUP; while :; do sleep 1; done");
    cancels_in("deaf process");
    config("");
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", here("/imds/slow"), 1);
    cancels_in("instance metadata");
}
/* ---- what must not go wrong ---- */

static void without_memory(const char *what)
{
    for (long n = 1;; n++) {
        vp_error err = VP_ERROR_INIT;
        vpi_s3_secret s = { 0 };
        vpi_s3_chain *chain = NULL;
        vp_status st;
        bool hit;

        vpi_alloc_fail_at = n;
        st = vpi_s3_chain_new(context, NULL, NULL, &chain, &err);
        if (st >= 0) st = vpi_s3_chain_get(chain, NULL, &s, &err);
        hit = vpi_alloc_fail_at <= 0;
        vpi_alloc_fail_at = 0;
        vpi_s3_chain_free(chain);
        if (st < 0) assert_null(s.access_key);
        vpi_s3_secret_wipe(&s);
        if (!hit) {
            if (st != VP_OK) fail_msg("%s: %s", what, err.message);
            assert_true(n > 5);
            break;
        }
        /* expat does without some of its own */
        if (st != VP_E_NOMEM && st != VP_OK)
            fail_msg("%s, allocation %ld: %d %s", what, n, (int)st, err.message);
        assert_true(n < 1000);
    }
}

static void no_memory(void **state)
{
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "AKIDENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "env/secret", 1);
    without_memory("environment");
    unsetenv("AWS_ACCESS_KEY_ID");
    config("[default]\naws_access_key_id = AKIDX\naws_secret_access_key = x/secret\n");
    without_memory("profile");
    setenv("AWS_ENDPOINT_URL_STS", here("/sts/ok"), 1);
    config("[default]\nrole_arn = arn\nsource_profile = x\n[profile x]\naws_access_key_id = AKIDSOURCE\n"
           "aws_secret_access_key = source/secret\n");
    without_memory("role");
    process("echo '" KEYS "}'");
    without_memory("process");
    config("[default]\nregion = x\n");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/ok"), 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", write_file("box-token", "token-1\n"), 1);
    without_memory("container");
    unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", here("/imds/ok"), 1);
    without_memory("instance");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write_file("token", "web+token/1"), 1);
    setenv("AWS_ROLE_ARN", "arn", 1);
    without_memory("web identity");
}

static void leaves_nothing_after(const char *what)
{
    static const char secret[] = "LeftOverInMemoryDetectedIfItIs";
    vpi_s3_secret s = { 0 };
    vp_error err;

    if (get_as(NULL, NULL, &s, &err) != VP_OK) fail_msg("%s: %s", what, err.message);
    assert_string_equal(s.secret_key, secret);
    assert_int_equal(search_memory(secret, sizeof(secret) - 1, false), 1); /* the one that was given */
    vpi_s3_secret_wipe(&s);
    if (search_memory(secret, sizeof(secret) - 1, true) != 0) fail_msg("%s", what);
}

static void leaves_nothing(void **state)
{
    char text[256];

    (void)state;
    if (SHADOWED) skip();
    setenv("AWS_SHARED_CREDENTIALS_FILE", in_folder("memory.ini"), 1);
    leaves_nothing_after("file");
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    snprintf(text, sizeof(text), "[default]\ncredential_process = cat %s\n", in_folder("memory.json"));
    config(text);
    leaves_nothing_after("process");
    config("");
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", here("/container/memory"), 1);
    leaves_nothing_after("container");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write_file("token", "web+token/1"), 1);
    setenv("AWS_ROLE_ARN", "arn", 1);
    setenv("AWS_ENDPOINT_URL_STS", here("/sts/memory"), 1);
    leaves_nothing_after("STS");
}
int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup(name, fresh)
    const struct CMUnitTest tests[] = {
        TEST(container), TEST(instance),    TEST(expired_instance), TEST(silence),
        TEST(programs),  TEST(clean_child), TEST(host_signals),     TEST(closed_descriptors),
        TEST(cancels),   TEST(no_memory),   TEST(leaves_nothing),
    };

    if (argc != 3) return 77;
    arguments = argv;
    return cmocka_run_group_tests(tests, start, stop);
}
