/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef enum {
    KIND_FLAG,  /* bool, no value */
    KIND_TEXT,  /* const char * */
    KIND_WORD,  /* const char *, one of words */
    KIND_COUNT, /* uint32_t, low..high */
    KIND_MILLI  /* uint32_t, a number with up to three decimals, in thousandths; low..high are thousandths */
} kind;

typedef struct option_def {
    const char *name;
    uint32_t commands;
    kind kind;
    size_t offset;
    const char *value; /* how help calls it; for KIND_WORD the words, "cmaf|ts|both" */
    uint32_t low, high;
    const char *text;
} option_def;

#define AT(field) offsetof(cli_options, field)
#define CMD_TITLE (CMD_PUBLISH | CMD_PACKAGE | CMD_PLAN)
#define CMD_ENCODE (CMD_PUBLISH | CMD_PLAN)
#define CMD_LONG (CMD_PUBLISH | CMD_PACKAGE | CMD_PLAN | CMD_RUN | CMD_FINISH)

static const option_def defs[] = {
    { "json", CMD_PROBE | CMD_VERIFY, KIND_FLAG, AT(json), NULL, 0, 0, "the result as JSON" },
    { "full", CMD_PROBE, KIND_FLAG, AT(full), NULL, 0, 0,
      "read the whole file: frames, keyframes, is it whole" },
    { "decode", CMD_VERIFY, KIND_FLAG, AT(decode), NULL, 0, 0, "also decode every segment alone" },
    { "source", CMD_VERIFY, KIND_TEXT, AT(source), "INPUT", 0, 0,
      "with --decode: compare pictures, sync and loudness with what it was made of" },
    { "format", CMD_TITLE, KIND_WORD, AT(format), "cmaf|ts|both", 0, 0,
      "segments: fMP4 for HLS and DASH (default), MPEG-TS for HLS, or both" },
    { "ladder", CMD_ENCODE, KIND_TEXT, AT(ladder), "auto|LIST|FILE", 0, 0,
      "rungs: up to the source (default), 1080p,720p,..., or a JSON file" },
    { "segment", CMD_TITLE, KIND_MILLI, AT(segment_ms), "S", 500, 60000, "seconds of a segment (6)" },
    { "gop", CMD_TITLE, KIND_MILLI, AT(gop_ms), "S", 250, 60000, "seconds between IDR pictures (2)" },
    { "single-file", CMD_TITLE, KIND_FLAG, AT(single_file), NULL, 0, 0,
      "one media.mp4 for each track, byte ranges" },
    { "vcodec", CMD_ENCODE, KIND_WORD, AT(vcodec), "h264", 0, 0, "video codec" },
    { "preset", CMD_ENCODE, KIND_TEXT, AT(preset), "P", 0, 0, "auto (default) or a preset of x264" },
    { "rate", CMD_ENCODE, KIND_WORD, AT(rate), "2pass|abr|crf", 0, 0,
      "rate control: average bitrate with a shared first pass (default), in one pass, or quality" },
    { "crf", CMD_ENCODE, KIND_MILLI, AT(crf_milli), "N", 1, 51000, "quality for --rate crf (23)" },
    { "audio-bitrate", CMD_ENCODE, KIND_COUNT, AT(audio_kbps), "K", 16, 512,
      "kbit/s of an audio group (128)" },
    { "audio", CMD_ENCODE, KIND_TEXT, AT(audio), "all|none|LANG,...", 0, 0,
      "which audio tracks are kept (all)" },
    { "max-fps", CMD_ENCODE, KIND_COUNT, AT(max_fps), "N", 1, 240, "faster pictures are left out (60)" },
    { "timeline", CMD_ENCODE, KIND_WORD, AT(timeline), "repair|fail", 0, 0,
      "a source whose clock jumps or is missing: repaired with a warning (default), or refused" },
    { "encrypt", CMD_TITLE, KIND_WORD, AT(encrypt), "none|aes128|cenc|cbcs", 0, 0,
      "whole segments (HLS), or samples; needs --keys" },
    { "keys", CMD_LONG, KIND_TEXT, AT(keys), "FILE", 0, 0,
      "keys, KIDs and what DRM systems are told (JSON, CPIX)" },
    { "key-rotation", CMD_TITLE, KIND_COUNT, AT(key_rotation), "N", 1, 100000,
      "segments that a key serves (all)" },
    { "clear-lead", CMD_TITLE, KIND_MILLI, AT(clear_lead_ms), "S", 0, 86400000,
      "segments that begin before it stay clear (0)" },
    { "write-key-file", CMD_PUBLISH | CMD_PACKAGE, KIND_TEXT, AT(write_key_file), "PATH", 0, 0,
      "also write the keys, 16 bytes each; {kid}, {n} in the name" },
    { "prefix", CMD_TITLE, KIND_TEXT, AT(prefix), "auto|NAME|none", 0, 0, "folder of this version's files" },
    { "prune", CMD_TITLE | CMD_FINISH, KIND_FLAG, AT(prune), NULL, 0, 0,
      "remove versions that no manifest names" },
    { "force", CMD_TITLE | CMD_FINISH, KIND_FLAG, AT(force), NULL, 0, 0,
      "also into a directory that holds other files" },
    { "player", CMD_TITLE | CMD_FINISH, KIND_FLAG, AT(player), NULL, 0, 0, "also write player.html" },
    { "work", CMD_LONG | CMD_PUT, KIND_TEXT, AT(work), "W", 0, 0,
      "where unfinished work is kept: a folder, or s3:// (OUT/.vodpipe; for an s3:// OUT a folder of the "
      "user)" },
    { "max-input", CMD_ENCODE, KIND_COUNT, AT(max_input_mb), "MB", 1, UINT32_MAX,
      "most that is read from a pipe, in megabytes (what the disk holds)" },
    { "task", CMD_RUN, KIND_TEXT, AT(task), "NAME|next", 0, 0, "which task" },
    { "input", CMD_RUN | CMD_FINISH, KIND_TEXT, AT(input), "INPUT", 0, 0, "where INPUT of the plan is here" },
    { "output", CMD_RUN | CMD_FINISH, KIND_TEXT, AT(output), "OUT", 0, 0, "where OUT of the plan is here" },
    { "expires", CMD_PRESIGN, KIND_COUNT, AT(expires_s), "S", 1, 604800,
      "seconds that the address is good for (3600)" },
    { "gzip-manifests", CMD_TITLE, KIND_FLAG, AT(gzip_manifests), NULL, 0, 0,
      "playlists and manifests of an s3:// OUT are stored compressed" },
    { "endpoint", ~0u, KIND_TEXT, AT(endpoint), "URL", 0, 0,
      "server of s3:// (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else AWS)" },
    { "region", ~0u, KIND_TEXT, AT(region), "R", 0, 0,
      "its region (AWS_REGION, AWS_DEFAULT_REGION, found out)" },
    { "path-style", ~0u, KIND_FLAG, AT(path_style), NULL, 0, 0,
      "https://host/bucket/key, not https://bucket.host/key" },
    { "unsigned-payload", CMD_LONG | CMD_PUT, KIND_FLAG, AT(unsigned_payload), NULL, 0, 0,
      "over http: what is sent has a CRC-32C, not a SHA-256 that is signed" },
    { "profile", ~0u, KIND_TEXT, AT(profile), "P", 0, 0,
      "profile of ~/.aws with the credentials (AWS_PROFILE)" },
    { "jobs", CMD_LONG | CMD_VERIFY | CMD_PROBE, KIND_COUNT, AT(jobs), "N", 1, 1024,
      "threads that compute at a time (what the machine has)" },
    { "memory", CMD_LONG | CMD_VERIFY | CMD_PROBE, KIND_COUNT, AT(memory_mb), "MB", 16, 1u << 24,
      "memory budget in megabytes (half of what there is)" },
    { "progress", CMD_LONG | CMD_PUT, KIND_WORD, AT(progress), "auto|bar|json|none", 0, 0,
      "a bar on a terminal (auto), events as JSON lines on stdout, or nothing" },
    { "help", ~0u, KIND_FLAG, AT(help), NULL, 0, 0, "this text" },
};
#define DEF_COUNT (sizeof(defs) / sizeof(defs[0]))

/* Designed, and refused until they are built. */
static const struct {
    const char *option, *word;
} later_words[] = { { "vcodec", "hevc" }, { "vcodec", "av1" } };

static const struct {
    uint32_t command;
    int low, high; /* how many arguments */
    const char *text;
} usages[] = {
    { CMD_PROBE, 1, 1, "probe INPUT [options]" },
    { CMD_PUBLISH, 2, 2, "publish INPUT OUT [options]" },
    { CMD_PACKAGE, 2, 1 << 20, "package RENDITION... OUT [options]" },
    { CMD_PLAN, 2, 2, "plan INPUT OUT --work W [options]" },
    { CMD_RUN, 0, 0, "run --work W --task NAME|next [options]" },
    { CMD_FINISH, 0, 0, "finish --work W [options]" },
    { CMD_VERIFY, 1, 1, "verify OUT [options]" },
    { CMD_PUT, 2, 2, "put DIR|FILE s3://bucket/prefix [options]" },
    { CMD_PRESIGN, 2, 2, "presign get|put s3://bucket/key [options]" },
};

int usage_error(const cli_options *o, const char *format, ...)
{
    va_list list;
    char text[512];
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    note(o, "%s", text);
    return EXIT_USAGE;
}

static bool wrong(const cli_options *o, const char *name, const char *what, const char *value)
{
    usage_error(o, "--%s: %s '%s'", name, what, value);
    return false;
}

void options_help(const cli_options *o)
{
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++)
        if (usages[i].command == o->command_bit) printf("usage: vodpipe %s\n\n", usages[i].text);
    for (size_t i = 0; i < DEF_COUNT; i++) {
        char left[64];
        if (!(defs[i].commands & o->command_bit)) continue;
        snprintf(left, sizeof(left), "--%s%s%s", defs[i].name, defs[i].value ? " " : "",
                 defs[i].value ? defs[i].value : "");
        printf("  %-30s %s\n", left, defs[i].text);
    }
}

static bool is_word(const char *words, const char *value)
{
    size_t n = strlen(value);
    for (const char *p = words; n && *p;) {
        size_t length = strcspn(p, "|");
        if (length == n && !strncmp(p, value, n)) return true;
        p += length + (p[length] == '|');
    }
    return false;
}

/* Digits, and up to `decimals` of them after a point; the value times 10^decimals. */
static bool read_number(const char *text, int decimals, uint32_t *to)
{
    uint64_t value = 0;
    int after = -1;
    if (*text < '0' || *text > '9') return false;
    for (; *text; text++) {
        if (*text == '.' && after < 0 && decimals) {
            after = 0;
            continue;
        }
        if (*text < '0' || *text > '9' || after == decimals || value > UINT32_MAX) return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (after >= 0) after++;
    }
    for (int i = after < 0 ? 0 : after; i < decimals; i++) value *= 10;
    if (value > UINT32_MAX) return false;
    *to = (uint32_t)value;
    return true;
}

static bool set_value(cli_options *o, const option_def *d, const char *value)
{
    void *at = (char *)o + d->offset;
    uint32_t number = 0;
    switch (d->kind) {
    case KIND_FLAG:
        *(bool *)at = true;
        return true;
    case KIND_WORD:
        for (size_t i = 0; i < sizeof(later_words) / sizeof(later_words[0]); i++)
            if (!strcmp(later_words[i].option, d->name) && !strcmp(later_words[i].word, value))
                return wrong(o, d->name, "not built yet:", value);
        if (!is_word(d->value, value)) return wrong(o, d->name, d->value, value);
        *(const char **)at = value;
        return true;
    case KIND_TEXT:
        if (!*value) return wrong(o, d->name, "empty value", value);
        *(const char **)at = value;
        return true;
    case KIND_COUNT:
    case KIND_MILLI:
        if (!read_number(value, d->kind == KIND_MILLI ? 3 : 0, &number))
            return wrong(o, d->name, "not a number:", value);
        if (number < d->low || number > d->high) return wrong(o, d->name, "out of range:", value);
        *(uint32_t *)at = number;
        return true;
    }
    return false;
}

static bool unknown(const cli_options *o, const char *name, size_t length)
{
    usage_error(o, "unknown option '--%.*s'; vodpipe %s --help lists them", (int)length, name, o->command);
    return false;
}

/* One option; *used: how many words of argv it took. */
static bool parse_option(cli_options *o, int argc, char **argv, int *used)
{
    const char *name = argv[0] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    for (size_t i = 0; i < DEF_COUNT; i++) {
        const option_def *d = &defs[i];
        if (!(d->commands & o->command_bit) || strlen(d->name) != length || strncmp(d->name, name, length))
            continue;
        *used = 1;
        if (d->kind == KIND_FLAG)
            return equals ? wrong(o, d->name, "takes no value:", equals + 1) : set_value(o, d, "");
        if (equals) return set_value(o, d, equals + 1);
        if (argc < 2) {
            usage_error(o, "--%s needs a value", d->name);
            return false;
        }
        *used = 2;
        return set_value(o, d, argv[1]);
    }
    return unknown(o, name, length);
}

static bool check_encryption(const cli_options *o)
{
    bool encrypt = o->encrypt && strcmp(o->encrypt, "none"), title = o->command_bit & CMD_TITLE;
    if (o->keys && !place_check(o, "--keys", o->keys, TAKES_PATH)) return false;
    if (o->write_key_file && !place_check(o, "--write-key-file", o->write_key_file, TAKES_PATH)) return false;
    if (encrypt && !strcmp(o->encrypt, "cenc") && o->format && strcmp(o->format, "cmaf"))
        return usage_error(o, "--encrypt cenc goes with --format cmaf only") == EXIT_DONE;
    if (!encrypt && title && (o->keys || o->key_rotation || o->clear_lead_ms || o->write_key_file))
        return usage_error(
                   o, "--keys, --key-rotation, --clear-lead and --write-key-file go with --encrypt only") ==
               EXIT_DONE;
    return true;
}

/* What each argument may be, in order; the last but one counts for all between. */
static unsigned takes_at(const cli_options *o, int i)
{
    const unsigned input = TAKES_PATH | TAKES_OBJECT | TAKES_WEB, output = TAKES_PATH | TAKES_PREFIX;
    bool last = i == o->arg_count - 1;
    switch (o->command_bit) {
    case CMD_PROBE:
        return input;
    case CMD_VERIFY:
        return output | TAKES_WEB;
    case CMD_PUT:
        return last ? TAKES_PREFIX : TAKES_PATH;
    case CMD_PRESIGN:
        return last ? TAKES_OBJECT : TAKES_PATH;
    default:
        return last ? output : input;
    }
}

static bool is_s3(const char *place)
{
    return place && place_of(place) == PLACE_S3;
}

static bool check_places(const cli_options *o)
{
    const unsigned input = TAKES_PATH | TAKES_OBJECT | TAKES_WEB, output = TAKES_PATH | TAKES_PREFIX;
    const char *out = o->arg_count ? o->args[o->arg_count - 1] : NULL;
    bool s3 = is_s3(o->work) || is_s3(o->source), later = o->command_bit & (CMD_RUN | CMD_FINISH);
    for (int i = 0; i < o->arg_count; i++) {
        bool last = i == o->arg_count - 1;
        if (!place_check(o,
                         last && i                   ? "OUT"
                         : o->command_bit == CMD_PUT ? "DIR"
                                                     : "INPUT",
                         o->args[i], takes_at(o, i)))
            return false;
        s3 |= is_s3(o->args[i]);
    }
    if ((o->work && !place_check(o, "--work", o->work, output)) ||
        (o->input && !place_check(o, "--input", o->input, input)) ||
        (o->output && !place_check(o, "--output", o->output, output)) ||
        (o->source && !place_check(o, "--source", o->source, input)))
        return false;
    /* For run and finish job.json says where things are. */
    if (!s3 && !later && (o->endpoint || o->region || o->path_style || o->profile || o->unsigned_payload))
        return usage_error(o, "--endpoint, --region, --path-style, --unsigned-payload and --profile go with "
                              "s3:// only") == EXIT_DONE;
    if (o->gzip_manifests && !is_s3(out))
        return usage_error(o, "--gzip-manifests goes with an s3:// OUT only") == EXIT_DONE;
    if (o->command_bit == CMD_PRESIGN && strcmp(o->args[0], "get") && strcmp(o->args[0], "put"))
        return usage_error(o, "presign: get or put, not '%s'", o->args[0]) == EXIT_DONE;
    return true;
}

/* What no single option can say. */
static bool check_together(const cli_options *o)
{
    uint32_t segment = o->segment_ms ? o->segment_ms : 6000, gop = o->gop_ms ? o->gop_ms : 2000;
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        if (usages[i].command != o->command_bit) continue;
        if (o->arg_count < usages[i].low || o->arg_count > usages[i].high) {
            usage_error(o, "usage: vodpipe %s", usages[i].text);
            return false;
        }
    }
    if (!check_places(o)) return false;
    if ((o->command_bit & (CMD_PLAN | CMD_RUN | CMD_FINISH)) && !o->work)
        return usage_error(o, "--work is needed") == EXIT_DONE;
    if (o->command_bit == CMD_RUN && !o->task) return usage_error(o, "--task is needed") == EXIT_DONE;
    if (segment % gop) return usage_error(o, "--segment is not a whole multiple of --gop") == EXIT_DONE;
    if (o->single_file && o->format && strcmp(o->format, "cmaf"))
        return usage_error(o, "--single-file goes with --format cmaf only") == EXIT_DONE;
    if (!check_encryption(o)) return false;
    if (o->crf_milli && (!o->rate || strcmp(o->rate, "crf")))
        return usage_error(o, "--crf goes with --rate crf only") == EXIT_DONE;
    return true;
}

bool options_parse(cli_options *o, int argc, char **argv)
{
    bool only_args = false;
    o->args = calloc((size_t)argc + 1, sizeof(*o->args));
    if (!o->args) {
        note(o, "NOMEM: out of memory");
        return false;
    }
    for (int i = 0; i < argc;) {
        int used = 1;
        char *word = argv[i];
        if (only_args || word[0] != '-' || !word[1]) {
            o->args[o->arg_count++] = word;
        } else if (!strcmp(word, "--")) {
            only_args = true;
        } else if (!strcmp(word, "-h")) {
            o->help = true;
        } else if (word[1] != '-') {
            usage_error(o, "unknown option '%s'; a path that begins with '-' comes after '--'", word);
            return false;
        } else if (!parse_option(o, argc - i, argv + i, &used)) {
            return false;
        }
        i += used;
    }
    return o->help || check_together(o);
}
