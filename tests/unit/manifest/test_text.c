/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "title.h"

#include "manifest/uri.h"
#include "manifest/xml.h"

static void relative(const char *folder, const char *key, const char *expected)
{
    vpi_buf b = { 0 };
    char *text;

    vpi_uri_relative(&b, folder, key);
    text = vpi_buf_steal_string(&b);
    assert_string_equal(text, expected);
    vpi_free(text);
}

static void uris(void **state)
{
    (void)state;
    relative("", "a/b", "a/b");
    relative("a/b", "a/b/c", "c");
    relative("a/b", "a/b/d/c", "d/c");
    relative("a/b", "a/bc/c", "../bc/c");
    relative("a/b", "a/c", "../c");
    relative("a/b/c", "x", "../../../x");
    relative("a/bc", "a/b", "../b");
    relative("a", "a", "../a");
    relative("", "a b?#%:$\xC3\xA9", "a%20b%3F%23%25%3A%24%C3%A9");
    relative("my title/v", "my title/v/1&2.ts", "1%262.ts");
}

static void xml(void **state)
{
    vpi_buf b = { 0 };
    vpi_xml x;
    unsigned i;

    (void)state;
    vpi_xml_begin(&x, &b);
    vpi_xml_open(&x, "a");
    vpi_xml_attr(&x, "q", "<&>\"'\t\xFF\xC3\xA9\xEF\xBF\xBF");
    vpi_xml_open(&x, "b");
    vpi_xml_attrf(&x, "n", "%d", -1);
    vpi_xml_close(&x);
    vpi_xml_open(&x, "c");
    vpi_xml_text(&x, "1 < 2");
    vpi_xml_close(&x);
    vpi_xml_close(&x);
    vpi_buf_u8(&b, 0);
    assert_string_equal((const char *)b.data,
                        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                        "<a q=\"&lt;&amp;&gt;&quot;'\xEF\xBF\xBD\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD\">\n"
                        "  <b n=\"-1\"/>\n  <c>1 &lt; 2</c>\n</a>\n");
    vpi_buf_clear(&b);
    vpi_xml_begin(&x, &b);
    for (i = 0; i < VPI_XML_DEPTH; i++) vpi_xml_open(&x, "a");
    assert_false(vpi_buf_failed(&b));
    vpi_xml_open(&x, "a");
    assert_true(vpi_buf_failed(&b));
    vpi_buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uris),
        cmocka_unit_test(xml),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
