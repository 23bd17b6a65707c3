/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * credential_process: a program that tells credentials on its standard output (docs.aws.amazon.com/sdkref, "Process
 * credential provider"). As with the AWS CLI there is no shell: the command is cut into words as a POSIX shell would,
 * and neither variables nor "~" are replaced, which the documents forbid there.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "credentials.h"

#define TIME_LIMIT_US (INT64_C(60) * 1000000)
#define POLL_MS 50

extern char **environ;

/* ---- words ---- */

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word, its quotes taken away; NULL: a quote is not closed. */
static const char *word(const char *p, char **to)
{
    char quote = 0, *out = *to;

    for (; *p && (quote || !blank(*p)); p++) {
        if (quote ? *p == quote : *p == '"' || *p == '\'') {
            quote = quote ? 0 : *p;
        } else if (*p == '\\' && quote != '\'') {
            /* inside "..." it only takes the meaning of \ and " (shlex of Python, which the AWS CLI cuts with) */
            if (!p[1]) return NULL;
            if (quote && p[1] != '\\' && p[1] != '"') *out++ = '\\';
            *out++ = *++p;
        } else {
            *out++ = *p;
        }
    }
    *out++ = 0;
    *to = out;
    return quote ? NULL : p;
}

vp_status vpi_s3_words(const char *command, char ***out, vp_error *err)
{
    size_t length = strlen(command), most = length / 2 + 2, count = 0;
    char **words = vpi_calloc(1, most * sizeof(*words) + length + 2), *to;
    const char *p = command;

    *out = NULL;
    if (!words) return vpi_fail_nomem(err);
    to = (char *)(words + most);
    while (blank(*p)) p++;
    while (*p) {
        words[count++] = to;
        p = word(p, &to);
        if (!p) {
            vpi_free(words);
            return vpi_fail(err, VP_E_DATA, NULL, "a quotation mark that is not closed");
        }
        while (blank(*p)) p++;
    }
    if (!count || !words[0][0]) {
        vpi_free(words);
        return vpi_fail(err, VP_E_DATA, NULL, "no program is named");
    }
    *out = words;
    return VP_OK;
}

/* ---- the child ---- */

/* Default signals, none blocked, a group of its own; of descriptors only stdin (nothing to read), stdout and stderr. */
static int spawn(char **words, int to, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t all, none;
    int rc;

    sigfillset(&all);
    sigemptyset(&none);
    rc = posix_spawn_file_actions_init(&files);
    if (rc) return rc;
    rc = posix_spawnattr_init(&how);
    if (rc) {
        posix_spawn_file_actions_destroy(&files);
        return rc;
    }
    rc = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!rc) rc = posix_spawn_file_actions_adddup2(&files, to, 1);
    if (!rc && fcntl(2, F_GETFD) < 0)
        rc = posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    /* Elsewhere only what the host has opened without O_CLOEXEC comes along: ours has it. */
    if (!rc) rc = posix_spawn_file_actions_addclosefrom_np(&files, 3);
#endif
    if (!rc)
        rc = posix_spawnattr_setflags(&how,
                                      POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    if (!rc) rc = posix_spawnattr_setsigdefault(&how, &all);
    if (!rc) rc = posix_spawnattr_setsigmask(&how, &none);
    if (!rc) rc = posix_spawnattr_setpgroup(&how, 0);
    if (!rc) rc = posix_spawnp(pid, words[0], &files, &how, words, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

/* Above 2 also in a host that has closed its standard descriptors. */
static bool open_pipe(int ends[2])
{
    int low[2];

    if (pipe2(low, O_CLOEXEC) != 0) return false;
    for (int i = 0; i < 2; i++) {
        ends[i] = low[i] > 2 ? low[i] : fcntl(low[i], F_DUPFD_CLOEXEC, 3);
        if (ends[i] != low[i]) close(low[i]);
    }
    if (ends[0] >= 0 && ends[1] >= 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0) return true;
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0) close(ends[i]);
    return false;
}

typedef struct child {
    pid_t pid;
    int from;
    bool ended, known; /* it has; and its status is ours to see */
    int status;
} child;

/* Where the host ignores SIGCHLD, or waits for all children, there is nothing to see (ECHILD): the output decides. */
static void look(child *c, int options)
{
    pid_t got;

    do {
        got = waitpid(c->pid, &c->status, options);
    } while (got < 0 && errno == EINTR);
    if (got == 0) return;
    c->ended = true;
    c->known = got == c->pid;
}

/* VP_END: all of it is there. */
static vp_status read_some(child *c, vpi_buf *out, vp_error *err)
{
    uint8_t *at = out->data + out->size;
    ssize_t n = read(c->from, at, VPI_S3_ANSWER_MAX + 1 - out->size);

    if (n == 0) return VP_END;
    if (n < 0) return errno == EAGAIN || errno == EINTR ? VP_AGAIN : vpi_fail_errno(err, errno, NULL, "read");
    out->size += (size_t)n;
    return out->size <= VPI_S3_ANSWER_MAX ? VP_OK
                                          : vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT",
                                                     "it tells more than %zu KiB", VPI_S3_ANSWER_MAX >> 10);
}

/*
 * Until the output ends, or the program has: what it may have left running in the background can keep the pipe open.
 */
static vp_status listen_to(vpi_s3_chain *chain, child *c, vpi_buf *out, vp_error *err)
{
    int64_t until = vpi_now_us() + TIME_LIMIT_US;
    struct pollfd fd = { .fd = c->from, .events = POLLIN };
    bool last = false;
    vp_status st;

    for (;;) {
        while ((st = read_some(c, out, err)) == VP_OK) {}
        if (st < 0) return st;
        if (st == VP_END || last) break;
        VPI_TRY(vpi_cancel_check(chain->cancel, err));
        VPI_TRY(vpi_cancel_check(vpi_context_cancel(chain->context), err));
        if (vpi_now_us() >= until)
            return vpi_fail(err, VP_E_LIMIT, "TIMEOUT", "it takes more than %d s",
                            (int)(TIME_LIMIT_US / 1000000));
        look(c, WNOHANG);
        last = c->ended;
        if (!last) poll(&fd, 1, POLL_MS);
    }
    /* Its output has ended, so it is about to end. */
    while (!c->ended) {
        look(c, WNOHANG);
        VPI_TRY(vpi_cancel_check(chain->cancel, err));
        VPI_TRY(vpi_cancel_check(vpi_context_cancel(chain->context), err));
        if (!c->ended && vpi_now_us() >= until)
            return vpi_fail(err, VP_E_LIMIT, "TIMEOUT", "it does not end");
        if (!c->ended) poll(NULL, 0, 5);
    }
    return VP_OK;
}

static vp_status judge(const child *c, vp_error *err)
{
    if (!c->known) return VP_OK;
    if (WIFSIGNALED(c->status))
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "signal %d ended it", WTERMSIG(c->status));
    if (WEXITSTATUS(c->status) != 0)
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "it ends with status %d",
                        WEXITSTATUS(c->status));
    return VP_OK;
}

static vp_status run(vpi_s3_chain *chain, char **words, vpi_buf *out, vp_error *err)
{
    child c = { .pid = -1 };
    int ends[2], rc;
    vp_status st;

    /* in one piece: growing would leave copies behind */
    if (!vpi_buf_reserve(out, VPI_S3_ANSWER_MAX + 1)) return vpi_fail_nomem(err);
    if (!open_pipe(ends)) return vpi_fail_errno(err, errno, NULL, "pipe");
    rc = spawn(words, ends[1], &c.pid);
    close(ends[1]);
    c.from = ends[0];
    if (rc) {
        close(ends[0]);
        return vpi_fail_errno(err, rc, NULL, "it cannot be run");
    }
    st = listen_to(chain, &c, out, err);
    close(c.from);
    if (!c.ended) {
        kill(-c.pid, SIGKILL);
        kill(c.pid, SIGKILL); /* where the group is not there yet */
        look(&c, 0);
    }
    return st < 0 ? st : judge(&c, err);
}

vp_status vpi_s3_from_process(vpi_s3_chain *chain, const char *command, vpi_s3_secret *out, vp_error *err)
{
    int64_t began = vpi_now_us();
    vpi_buf told = { 0 };
    char **words;
    vp_status st;

    VPI_TRY(vpi_s3_words(command, &words, err));
    st = run(chain, words, &told, err);
    vpi_free(words);
    if (st >= 0) st = vpi_s3_json(told.data, told.size, VPI_S3_FORM_PROCESS, out, err);
    vpi_s3_buf_wipe(&told);
    if (st >= 0 && vpi_s3_secret_expired(out)) {
        vpi_s3_secret_wipe(out);
        st = vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "what it tells has expired");
    }
    chain->deadline_us += vpi_now_us() - began; /* its time is its own */
    return st;
}
