/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "job_int.h"

/*
 * One file that plays the title beside it: hls.js inside where the host gave it, else the browser's own HLS.
 * It shows which rung plays and lets one choose.
 */

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>vodpipe "
    "player</title>\n"
    "<style>\nbody{margin:0;background:#14161a;color:#dde;font:15px/1.5 system-ui,sans-serif}\n"
    "main{max-width:1100px;margin:0 auto;padding:16px}\n"
    "video{width:100%;max-height:75vh;background:#000;display:block}\n"
    "#rungs button{font:inherit;margin:8px 6px 0 0;padding:4px 12px;border:1px solid #456;border-radius:4px;"
    "background:#223;color:inherit;cursor:pointer}\n"
    "#rungs "
    "button.on{background:#37a;border-color:#5ad}\n#state{margin-top:8px;color:#9ab}\n</style>\n</head>\n"
    "<body>\n<main>\n<video id=\"video\" controls playsinline></video>\n<div id=\"rungs\"></div>\n"
    "<div id=\"state\">loading ...</div>\n</main>\n";

static const char page_script[] =
    "<script>\n"
    "const video = document.getElementById('video'), state = document.getElementById('state');\n"
    "const rungs = document.getElementById('rungs'), url = 'master.m3u8';\n"
    "const say = text => { state.textContent = text; };\n"
    "function native() {\n"
    "  if (!video.canPlayType('application/vnd.apple.mpegurl')) {\n"
    "    say('This browser does not play HLS by itself, and this page was made without hls.js.');\n    "
    "return;\n  }\n"
    "  video.src = url;\n"
    "  video.addEventListener('resize', () => say('playing ' + video.videoWidth + 'x' + "
    "video.videoHeight));\n"
    "  video.addEventListener('error', () => say('error: ' + (video.error && video.error.message)));\n}\n"
    "function withHls() {\n"
    "  const hls = new Hls();\n  window.hls = hls;\n"
    "  const button = (text, level) => {\n"
    "    const b = document.createElement('button');\n    b.textContent = text;\n"
    "    b.onclick = () => { hls.nextLevel = level; mark(); };\n    b.dataset.level = level;\n"
    "    rungs.appendChild(b);\n  };\n"
    "  const mark = () => {\n"
    "    for (const b of rungs.children)\n"
    "      b.className = Number(b.dataset.level) === hls.manualLevel ? 'on' : '';\n"
    "    const l = hls.levels[hls.currentLevel];\n"
    "    if (l) say('playing ' + (l.height ? l.width + 'x' + l.height + ', ' : '') +\n"
    "      Math.round(l.bitrate / 1000) + ' kbit/s peak' + (hls.autoLevelEnabled ? ' (automatic)' : ''));\n  "
    "};\n"
    "  hls.on(Hls.Events.MANIFEST_PARSED, () => {\n"
    "    if (hls.levels.length > 1) button('automatic', -1);\n"
    "    hls.levels.forEach((l, i) => l.height && button(l.height + 'p', i));\n    say('ready');\n    "
    "mark();\n  });\n"
    "  hls.on(Hls.Events.LEVEL_SWITCHED, mark);\n"
    "  hls.on(Hls.Events.ERROR, (event, data) => { if (data.fatal) say('error: ' + data.type + ' ' + "
    "data.details); });\n"
    "  hls.loadSource(url);\n  hls.attachMedia(video);\n}\n"
    "if (window.Hls && Hls.isSupported()) withHls(); else native();\n"
    "</script>\n</body>\n</html>\n";

/* Inline script must not hold its own end tag. */
static void add_script(vpi_buf *b, const char *script)
{
    const char *at = script, *end;
    vpi_buf_str(b, "<script>\n");
    while ((end = strstr(at, "</script"))) {
        vpi_buf_add(b, at, (size_t)(end - at));
        vpi_buf_str(b, "<\\/script");
        at = end + strlen("</script");
    }
    vpi_buf_str(b, at);
    vpi_buf_str(b, "\n</script>\n");
}

vp_status vpi_player_page(const char *script, vp_bytes **out, vp_error *err)
{
    vpi_buf b = { 0 };
    vpi_buf_str(&b, page_head);
    if (script && *script) add_script(&b, script);
    vpi_buf_str(&b, page_script);
    vp_status st = vpi_bytes_from_buf(&b, out, err);
    vpi_buf_dispose(&b);
    return st;
}
