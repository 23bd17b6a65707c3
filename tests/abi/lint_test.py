#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Shows that lint.py can fail: plants one breach after another in a small clean tree and looks for its line."""
import os
import pathlib
import subprocess
import sys
import tempfile

LINT = pathlib.Path(__file__).with_name("lint.py")
HEAD = "/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
CLEAN = {
    "include/vodpipe/version.h": HEAD + "#include <stdint.h>\n",
    "include/vodpipe/base.h": HEAD + "#include <stddef.h>\n#include <vodpipe/version.h>\n",
    "include/vodpipe/io.h": HEAD + "#include <vodpipe/base.h>\n",
    "lib/base/a.h": HEAD + "#include <vodpipe/base.h>\n",
    "lib/base/a.c": HEAD + '#include "base/a.h"\nint f(void)\n{\n    return 0; /* sprintf() and "../x" are words */\n}\n',
    "lib/base/meson.build": "base_sources = files('a.c')\n",
    "lib/base/README.md": "base\n",
    "lib/media/libav.h": HEAD + "#include <libavcodec/avcodec.h>\n",
    "lib/media/m.c": HEAD + '#include "media/libav.h"\n',
    "lib/media/stubs.c": HEAD + "vp_status vpi_a(vp_error *err)\n{\n}\n\nvp_status vpi_b(vpi_ear *ear)\n{\n}\n",
    "tests/unit/media/test_unloaded.c": HEAD + "int x = vpi_a(NULL);\n",
    "tests/unit/media/meson.build": "files('test_unloaded.c')\n",
    "lib/media/m_int.h": HEAD,
    "lib/media/meson.build": "media_sources = files('m.c', 'stubs.c')\n",
    "lib/media/README.md": "media\n",
    "examples/vodpipe/main.c": HEAD + "#include <vodpipe/base.h>\n",
}
LONG_FUNCTION = HEAD + "int f(void)\n{\n" + "    f();\n" * 151 + "}\n"
PLANTED = [
    ("lib/base/a.c", HEAD + '#include "../media/m_int.h"\n', 'include with "../"'),
    ("lib/base/a.c", HEAD + '#include "media/m.h"\n', "base may not include"),
    ("lib/base/a.c", HEAD + "#include <vodpipe/io.h>\n", "base may not include"),
    ("lib/base/a.c", HEAD + "#include <libavutil/opt.h>\n", "base may not include"),
    ("lib/base/a.c", HEAD + "#  include <jansson.h>\n", "base may not include"),
    ("lib/media/m.c", HEAD + "#include <openssl/evp.h>\n", "media may not include"),
    ("lib/media/m.c", HEAD + "#include <libavcodec/avcodec.h>\n", "only libav.h includes"),
    ("tests/unit/media/test_unloaded.c", HEAD + "int vpi_a;\n", "vpi_a is not called by"),
    ("lib/transcode/t.c", HEAD + '#include "media/m_int.h"\n', "is private to media"),
    ("lib/other/o.c", HEAD, "folder without a row"),
    ("lib/base/b.c", HEAD, "not named in lib/base/meson.build"),
    ("tests/unit/base/test_b.c", HEAD, "not named in tests/unit/base/meson.build"),
    ("lib/io/meson.build", "", "no README.md"),
    ("lib/base/a.c", HEAD + "void f(char *a) { strcpy(a, a); }\n", "strcpy() is banned"),
    ("examples/vodpipe/main.c", HEAD + 'int f(void) { return system("x"); }\n', "system() is banned"),
    ("examples/vodpipe/main.c", HEAD + '#include "base/a.h"\n', "public headers only"),
    ("lib/base/a.c", LONG_FUNCTION, "function of 152 lines"),
    ("lib/base/a.c", HEAD + "\n" * 1200, "1201 lines"),
    ("lib/base/a.c", "int x;\n", "not the licence line"),
    ("lib/base/a.c", HEAD + "\tint x;\n", "tab"),
    ("lib/base/a.c", HEAD + "int x; \n", "trailing blank"),
    ("lib/base/a.c", HEAD + "int x;\r\n", "CR"),
    ("include/vodpipe/base.h", HEAD + "#include <vodpipe/io.h>\n", "not of a lower tier"),
    ("include/vodpipe/base.h", HEAD + "#include <jansson.h>\n", "includes only stddef.h"),
    ("include/vodpipe/new.h", HEAD, "without a tier"),
]


def lint(files):
    with tempfile.TemporaryDirectory() as top:
        for name, text in files.items():
            path = os.path.join(top, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8", newline="") as f:
                f.write(text)
        done = subprocess.run([sys.executable, str(LINT), top], stdout=subprocess.PIPE, text=True)
        return done.returncode, done.stdout


def main():
    bad = 0
    code, out = lint(CLEAN)
    if code != 0:
        print("the clean tree is refused:\n" + out)
        bad += 1
    for name, text, expect in PLANTED:
        code, out = lint({**CLEAN, name: text})
        if code != 1 or expect not in out:
            print("%s: expected '%s', got exit %d and:\n%s" % (name, expect, code, out))
            bad += 1
    print("%d breaches planted, %d not seen" % (len(PLANTED), bad))
    return 1 if bad else 0


sys.exit(main())
