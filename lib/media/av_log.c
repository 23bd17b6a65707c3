/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdarg.h>

#include "media/libav_int.h"

/* The one piece of process-wide state, and only where a program asks for it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static vp_context *target; /* under lock */

static int32_t level_of(int level)
{
    if (level <= AV_LOG_ERROR) return VP_LOG_ERROR;
    if (level <= AV_LOG_WARNING) return VP_LOG_WARN;
    return level <= AV_LOG_INFO ? VP_LOG_INFO : VP_LOG_DEBUG;
}

static void take_line(void *object, int level, const char *format, va_list args)
{
    char line[1024];
    int prefix = 1;
    if (level > AV_LOG_VERBOSE) return;
    av_log_format_line(object, level, format, args, line, (int)sizeof(line), &prefix);
    size_t n = strcspn(line, "\r\n");
    line[n] = 0;
    if (!n) return;
    pthread_mutex_lock(&lock);
    vp_context *context = vp_context_ref(target);
    pthread_mutex_unlock(&lock);
    /* a damaged input is reported by name elsewhere: libav's own words on it are details */
    if (context) vpi_log(context, VPI_MAX(level_of(level), VP_LOG_INFO), "libav", "%s", line);
    vp_context_unref(context);
}

void vp_libav_log_redirect(vp_context *context)
{
    pthread_mutex_lock(&lock);
    vp_context *old = target;
    target = vp_context_ref(context);
    if (vpi_libav_ready()) av_log_set_callback(context ? take_line : av_log_default_callback);
    pthread_mutex_unlock(&lock);
    vp_context_unref(old);
}

void vpi_libav_log_apply(void)
{
    pthread_mutex_lock(&lock);
    if (target) av_log_set_callback(take_line);
    pthread_mutex_unlock(&lock);
}
