/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libav* and x264, loaded when media is first used. */
#include <dlfcn.h>
#include <fenv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#define VPI_LIBAV_NAMES
#include "media/libav.h"

/*
 * What this binary loads, for those who make packages of it: an ELF note as systemd's ELF_DLOPEN_METADATA has it. The
 * names are those of the libraries that the headers belong to, found by lib/soname.py while configuring.
 */
#define NOTE_TYPE 0x407c0c0au
#define NOTE_OWNER "FDO"
#define NOTE_TEXT                                                                                            \
    "[{\"soname\":[\"" VPI_SONAME_AVUTIL "\"],\"feature\":\"media\",\"description\":"                        \
    "\"Probing, decoding and encoding\",\"priority\":\"recommended\"},"                                      \
    "{\"soname\":[\"" VPI_SONAME_AVCODEC "\"],\"feature\":\"media\",\"priority\":\"recommended\"},"          \
    "{\"soname\":[\"" VPI_SONAME_AVFORMAT "\"],\"feature\":\"media\",\"priority\":\"recommended\"},"         \
    "{\"soname\":[\"" VPI_SONAME_AVFILTER "\"],\"feature\":\"media\",\"priority\":\"recommended\"},"         \
    "{\"soname\":[\"" VPI_SONAME_SWSCALE "\"],\"feature\":\"media\",\"priority\":\"recommended\"},"          \
    "{\"soname\":[\"" VPI_SONAME_SWRESAMPLE "\"],\"feature\":\"media\",\"priority\":\"recommended\"},"       \
    "{\"soname\":[\"" VPI_SONAME_X264 "\"],\"feature\":\"media\",\"priority\":\"recommended\"}]"

struct note {
    uint32_t owner_size, text_size, type;
    char owner[sizeof(NOTE_OWNER)]; /* four bytes: aligned as it is */
    _Alignas(uint32_t) char text[sizeof(NOTE_TEXT)];
};

__attribute__((used, section(".note.dlopen"))) _Alignas(uint32_t) static const struct note note = {
    sizeof(NOTE_OWNER), sizeof(NOTE_TEXT), NOTE_TYPE, NOTE_OWNER, NOTE_TEXT,
};

struct vpi_libav_table vpi_libav;

/* Set by the first call: an answer that changed in mid-life would be seen by some calls of a job and not by others. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_bool ready;
static char failure[400];

struct symbol {
    const char *name;
    size_t at; /* in the table */
};

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define SYMBOL(f) { #f, offsetof(struct vpi_libav_table, f) },

static const struct symbol in_avutil[] = { VPI_LIST_AVUTIL(SYMBOL) };
static const struct symbol in_avcodec[] = { VPI_LIST_AVCODEC(SYMBOL) };
static const struct symbol in_avformat[] = { VPI_LIST_AVFORMAT(SYMBOL) };
static const struct symbol in_avfilter[] = { VPI_LIST_AVFILTER(SYMBOL) };
static const struct symbol in_swscale[] = { VPI_LIST_SWSCALE(SYMBOL) };
static const struct symbol in_swresample[] = { VPI_LIST_SWRESAMPLE(SYMBOL) };
static const struct symbol in_x264[] = { VPI_LIST_X264(SYMBOL){
    TEXT(x264_encoder_open), offsetof(struct vpi_libav_table, vpi_x264_open) } };

static const struct library {
    const char *soname;
    const struct symbol *symbols;
    size_t count;
} libraries[] = {
    { VPI_SONAME_AVUTIL, in_avutil, VPI_COUNT(in_avutil) },
    { VPI_SONAME_AVCODEC, in_avcodec, VPI_COUNT(in_avcodec) },
    { VPI_SONAME_AVFORMAT, in_avformat, VPI_COUNT(in_avformat) },
    { VPI_SONAME_AVFILTER, in_avfilter, VPI_COUNT(in_avfilter) },
    { VPI_SONAME_SWSCALE, in_swscale, VPI_COUNT(in_swscale) },
    { VPI_SONAME_SWRESAMPLE, in_swresample, VPI_COUNT(in_swresample) },
    { VPI_SONAME_X264, in_x264, VPI_COUNT(in_x264) },
};

static bool fail(const char *soname, const char *why)
{
    snprintf(failure, sizeof(failure), "media needs %s: %s", soname, why ? why : "it cannot be loaded");
    return false;
}

/*
 * The libraries stay for good: they have threads, thread-local data and callbacks of their own, and none of them says
 * that it may be unloaded. Their names stay local to them, a host that has libav* itself shares its copy.
 */
static bool load(const struct library *l)
{
    void *handle = dlopen(l->soname, RTLD_NOW | RTLD_LOCAL);

    if (!handle) return fail(l->soname, dlerror());
    for (size_t i = 0; i < l->count; i++) {
        void *address = dlsym(handle, l->symbols[i].name);
        if (!address) return fail(l->soname, dlerror());
        memcpy((char *)&vpi_libav + l->symbols[i].at, &address,
               sizeof(address)); /* POSIX: pointers are of one size */
    }
    return true;
}

/* The same major number as the headers have, whose structs we read, and no older minor one, which may lack members. */
static bool check(const char *soname, unsigned have, unsigned want)
{
    char why[96];

    if (AV_VERSION_MAJOR(have) == AV_VERSION_MAJOR(want) && AV_VERSION_MINOR(have) >= AV_VERSION_MINOR(want))
        return true;
    snprintf(why, sizeof(why), "version %u.%u is there, this was built with %u.%u", AV_VERSION_MAJOR(have),
             AV_VERSION_MINOR(have), AV_VERSION_MAJOR(want), AV_VERSION_MINOR(want));
    return fail(soname, why);
}

static bool check_all(void)
{
    return check(VPI_SONAME_AVUTIL, vpi_libav.avutil_version(), LIBAVUTIL_VERSION_INT) &&
           check(VPI_SONAME_AVCODEC, vpi_libav.avcodec_version(), LIBAVCODEC_VERSION_INT) &&
           check(VPI_SONAME_AVFORMAT, vpi_libav.avformat_version(), LIBAVFORMAT_VERSION_INT) &&
           check(VPI_SONAME_AVFILTER, vpi_libav.avfilter_version(), LIBAVFILTER_VERSION_INT) &&
           check(VPI_SONAME_SWSCALE, vpi_libav.swscale_version(), LIBSWSCALE_VERSION_INT) &&
           check(VPI_SONAME_SWRESAMPLE, vpi_libav.swresample_version(), LIBSWRESAMPLE_VERSION_INT);
}

static void load_all(void)
{
    fenv_t arithmetic;
    bool good = true;

    /* Libraries that were linked with -ffast-math change the rounding of the thread that loads them. */
    bool kept = fegetenv(&arithmetic) == 0;

    for (size_t i = 0; good && i < VPI_COUNT(libraries); i++) good = load(&libraries[i]);
    if (kept) fesetenv(&arithmetic);
    if (!good || !check_all()) return;
    atomic_store_explicit(&ready, true, memory_order_release);
    vpi_libav_log_apply();
}

vp_status vpi_media_load(vp_error *err)
{
    pthread_once(&once, load_all);
    if (vpi_libav_ready()) return VP_OK;
    return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED", "%s", failure);
}

bool vpi_libav_ready(void)
{
    return atomic_load_explicit(&ready, memory_order_acquire);
}
