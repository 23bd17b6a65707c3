/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/language_int.h"
#include "model/media.h"

static void tags(void **state)
{
    static const char *const cases[][2] = {
        { "eng", "en" },
        { "en-US", "en-US" },
        { "EN_us", "en-US" },
        { "fre", "fr" },
        { "fra", "fr" },
        { "ger", "de" },
        { "zh-hant-tw", "zh-Hant-TW" },
        { "scr", "hr" },
        { "fil", "fil" },
        { "xyz", "xyz" },
        { "eng-GB", "en-GB" },
        { "", "und" },
        { "und", "und" },
        { "unk", "und" },
        { "english", "und" },
        { "e", "und" },
        { "en US", "und" },
        { "en-", "en" },
        { "en-toolongsubtag", "en" },
        { "es-419", "es-419" },
        { "en-x-US-Latn", "en-x-us-latn" },
        { "\xff\xfe", "und" },
        { "zxx", "zxx" },
        { "de-abcdefgh-abcdefgh-abcdefgh-abcdefgh-abcdefgh", "de" },
    };
    char to[36];
    size_t i;

    (void)state;
    for (i = 0; i < VPI_COUNT(cases); i++) {
        vpi_language_bcp47(cases[i][0], to);
        assert_string_equal(to, cases[i][1]);
        /* What it gives is a tag that it gives back. */
        vpi_language_bcp47(cases[i][1], to);
        assert_string_equal(to, cases[i][1]);
    }
    vpi_language_bcp47(NULL, to);
    assert_string_equal(to, "und");
}

static void three_letters(void **state)
{
    char to[4];

    (void)state;
    vpi_language_iso639("fr", to);
    assert_string_equal(to, "fra");
    vpi_language_iso639("en-US", to);
    assert_string_equal(to, "eng");
    vpi_language_iso639("fil", to);
    assert_string_equal(to, "fil");
    vpi_language_iso639("xyz", to);
    assert_string_equal(to, "xyz");
    vpi_language_iso639("qq", to);
    assert_string_equal(to, "und");
    vpi_language_iso639(NULL, to);
    assert_string_equal(to, "und");
}

static void names(void **state)
{
    char to[64], small[18];

    (void)state;
    vpi_language_name("en", to, sizeof(to));
    assert_string_equal(to, "English");
    vpi_language_name("pt-BR", to, sizeof(to));
    assert_string_equal(to, "Portuguese (BR)");
    vpi_language_name("und", to, sizeof(to));
    assert_string_equal(to, "Undetermined");
    vpi_language_name("xyz", to, sizeof(to));
    assert_string_equal(to, "xyz");
    /* The cut does not leave half a letter. */
    vpi_language_name("nb", small, 17);
    assert_string_equal(small, "Norwegian Bokm\xC3\xA5");
    vpi_language_name("nb", small, 16);
    assert_string_equal(small, "Norwegian Bokm");
}

static void table(void **state)
{
    size_t i, k;

    (void)state;
    assert_true(vpi_language_count >= 180);
    for (i = 0; i < vpi_language_count; i++) {
        const vpi_language *l = &vpi_languages[i];
        char tag[36], three[4];

        assert_int_equal(strlen(l->three), 3);
        vpi_language_bcp47(l->three, tag);
        assert_string_equal(tag, l->two[0] ? l->two : l->three);
        vpi_language_iso639(tag, three);
        assert_string_equal(three, l->three);
        if (l->biblio[0]) {
            vpi_language_bcp47(l->biblio, tag);
            assert_string_equal(tag, l->two);
        }
        for (k = 0; k < i; k++) assert_string_not_equal(l->name, vpi_languages[k].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags),
        cmocka_unit_test(three_letters),
        cmocka_unit_test(names),
        cmocka_unit_test(table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
