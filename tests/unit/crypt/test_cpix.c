/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPIX documents: clear ones as they stand here; encrypted ones are made at run time by the command `openssl`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "crypt/crypt_int.h"

#define K1 "00010203-0405-0607-0809-0a0b0c0d0e0f"
#define K2 "10010203-0405-0607-0809-0a0b0c0d0e0f"
#define K3 "20010203-0405-0607-0809-0a0b0c0d0e0f"
/* 16 bytes of 'A', 'B', 'C' */
#define V1 "QUFBQUFBQUFBQUFBQUFBQQ=="
#define V2 "QkJCQkJCQkJCQkJCQkJCQg=="
#define V3 "Q0NDQ0NDQ0NDQ0NDQ0NDQw=="
#define ROOT                                                                                                 \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<cpix:CPIX xmlns:cpix=\"urn:dashif:org:cpix\" "             \
    "xmlns:pskc=\"urn:ietf:params:xml:ns:keyprov:pskc\" xmlns:enc=\"http://www.w3.org/2001/04/xmlenc#\">"
#define KEY_WITH(kid, attributes, value)                                                                     \
    "<cpix:ContentKey kid=\"" kid "\"" attributes "><cpix:Data><pskc:Secret><pskc:PlainValue>\n  " value     \
    "\n</pskc:PlainValue></pskc:Secret></cpix:Data></cpix:ContentKey>"
#define KEY(kid, value) KEY_WITH(kid, "", value)
#define KEYS(keys) "<cpix:ContentKeyList>" keys "</cpix:ContentKeyList>"
#define RULES(rules) "<cpix:ContentKeyUsageRuleList>" rules "</cpix:ContentKeyUsageRuleList>"
#define RULE(kid, attributes, filters)                                                                       \
    "<cpix:ContentKeyUsageRule kid=\"" kid "\" " attributes ">" filters "</cpix:ContentKeyUsageRule>"
#define DOC(parts) ROOT parts "</cpix:CPIX>"
#define THREE KEYS(KEY(K1, V1) KEY(K2, V2) KEY(K3, V3))

static vp_status parse_with(const char *text, const char *key, size_t key_size, const char *words,
                            vpi_key_list *list, vp_error *err)
{
    size_t size = strlen(text);
    char *exact = malloc(size ? size : 1);
    vp_status st;

    assert_non_null(exact);
    memcpy(exact, text, size);
    vp_error_init(err);
    st = vpi_cpix_parse(exact, size, key, key_size, words, list, err);
    free(exact);
    return st;
}

static vpi_key_list takes(const char *text)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;

    if (parse_with(text, NULL, 0, NULL, &list, &err) != VP_OK) assert_string_equal(err.message, "");
    return list;
}

static void refuses(const char *text, const char *message)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;

    assert_int_equal(parse_with(text, NULL, 0, NULL, &list, &err), VP_E_AUTH);
    if (!strstr(err.message, message)) assert_string_equal(err.message, message);
    assert_string_equal(err.reason,
                        strcmp(message, "ContentKeyList: no key") == 0 ? "KEY_MISSING" : "KEY_INVALID");
    assert_null(strstr(err.message, "QUFB"));
    assert_null(list.keys);
}

/* The letter of the key for a label and period, 0 for none. */
static char key_for(const vpi_key_list *list, const char *label, uint32_t period)
{
    for (size_t i = 0; i < list->count; i++) {
        const vpi_key *k = &list->keys[i];

        if (k->period == period && strcmp(k->label, label) == 0) return (char)k->key[15];
    }
    return 0;
}

/* ---- clear documents ---- */

static void one_key(void **state)
{
    vpi_key_list list = takes(DOC(KEYS(KEY_WITH(K1, " explicitIV=\"" V2 "\"", V1))));

    (void)state;
    assert_int_equal(list.count, 1);
    assert_int_equal(key_for(&list, "*", 0), 'A');
    assert_true(list.keys[0].info.has_kid);
    assert_int_equal(list.keys[0].info.kid[15], 15);
    assert_true(list.keys[0].info.has_iv);
    assert_int_equal(list.keys[0].info.iv[0], 'B');
    assert_null(list.common.uri);
    vpi_key_list_dispose(&list);
    /* cenc has no constant IV. */
    list = takes(DOC(KEYS(KEY_WITH(K1, " commonEncryptionScheme=\"cenc\" explicitIV=\"" V2 "\"", V1))));
    assert_false(list.keys[0].info.has_iv);
    vpi_key_list_dispose(&list);
}

static void refusals(void **state)
{
    (void)state;
    refuses("", "XML: empty");
    refuses("<a>", "XML, line 1: no element found");
    refuses("<a/>", "not a CPIX document");
    refuses("<CPIX/>", "not a CPIX document");
    refuses("<!DOCTYPE a><a/>", "XML, line 1: it has a document type");
    refuses("<!DOCTYPE CPIX [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><CPIX>&x;</CPIX>",
            "it has a document type");
    refuses(ROOT "&x;</cpix:CPIX>", "XML, line 2: undefined entity");
    refuses(DOC(""), "ContentKeyList: no key");
    refuses(DOC(KEYS("") KEYS("")), "ContentKeyList: there twice");
    refuses(DOC(KEYS("<cpix:ContentKey/>")), "ContentKey[0]: no kid");
    refuses(DOC(KEYS(KEY("1", V1))), "ContentKey[0]: kid is not a UUID");
    refuses(DOC(KEYS("<cpix:ContentKey kid=\"" K1 "\"/>")), "ContentKey[0]: no key in it");
    refuses(DOC(KEYS(KEY(K1, V1) KEY(K1, V1))), "is there twice");
    refuses(DOC(KEYS(KEY(K1, "QUFBQUFBQUFBQUFBQUFBQ"))), "PlainValue is not base64");
    refuses(DOC(KEYS(KEY(K1, "QUFB"))), "PlainValue is not 16 bytes");
    refuses(DOC(KEYS(KEY(K1, V1 V1))), "PlainValue is longer than 16 bytes");
    refuses(DOC(KEYS(KEY_WITH(K1, " explicitIV=\"QUFB\"", V1))), "explicitIV is not 16 bytes");
    refuses(DOC(KEYS(KEY_WITH(K1, " commonEncryptionScheme=\"cens\"", V1))), "neither cenc nor cbcs");
    refuses(DOC(KEYS(KEY_WITH(K1, " dependsOnKey=\"" K2 "\"", V1))), "depend on others");
    refuses(DOC(KEYS(KEY(K1, V1) KEY(K2, V2))), "missing, and there are 2 keys");
}

static void deep(void **state)
{
    vpi_buf b = { 0 };
    char *text;

    (void)state;
    for (int i = 0; i < 40; i++) vpi_buf_str(&b, "<a>");
    text = vpi_buf_steal_string(&b);
    refuses(text, "too deep");
    vpi_free(text);
    vpi_buf_str(&b, "<a ");
    for (int i = 0; i < 100; i++) vpi_buf_printf(&b, "a%d=\"\" ", i);
    vpi_buf_str(&b, "/>");
    text = vpi_buf_steal_string(&b);
    refuses(text, "too many attributes");
    vpi_free(text);
}

/* ---- rules ---- */

static void track_types(void **state)
{
    vpi_key_list list =
        takes(DOC(THREE RULES(RULE(K1, "intendedTrackType=\"Audio\"", "<cpix:AudioFilter/>") RULE(
            K2, "intendedTrackType=\"SD\"", "") RULE(K3, "intendedTrackType=\"HD+UHD1\"", ""))));

    (void)state;
    assert_int_equal(list.count, 4);
    assert_int_equal(key_for(&list, "audio", 0), 'A');
    assert_int_equal(key_for(&list, "sd", 0), 'B');
    assert_int_equal(key_for(&list, "hd", 0), 'C');
    assert_int_equal(key_for(&list, "uhd", 0), 'C');
    vpi_key_list_dispose(&list);
    /* The lower half of uhd goes before the upper. */
    list = takes(DOC(
        THREE RULES(RULE(K1, "intendedTrackType=\"UHD2\"", "") RULE(K2, "intendedTrackType=\"UHD1\"", ""))));
    assert_int_equal(list.count, 1);
    assert_int_equal(key_for(&list, "uhd", 0), 'B');
    vpi_key_list_dispose(&list);
    list = takes(DOC(THREE RULES(RULE(K1, "intendedTrackType=\"uhd2\"", ""))));
    assert_int_equal(key_for(&list, "uhd", 0), 'A');
    vpi_key_list_dispose(&list);
    list = takes(DOC(THREE RULES(RULE(K1, "intendedTrackType=\"ALL\"", ""))));
    assert_int_equal(key_for(&list, "*", 0), 'A');
    vpi_key_list_dispose(&list);
    list = takes(DOC(THREE RULES(RULE(K1, "", "<cpix:VideoFilter/>")
                                     RULE(K2, "", "<cpix:LabelFilter label=\"audio\"/>"))));
    assert_int_equal(key_for(&list, "sd", 0), 'A');
    assert_int_equal(key_for(&list, "uhd", 0), 'A');
    assert_int_equal(key_for(&list, "audio", 0), 'B');
    vpi_key_list_dispose(&list);
}

#define PIXELS(min, max) "<cpix:VideoFilter minPixels=\"" min "\" maxPixels=\"" max "\"/>"

static void pixels(void **state)
{
    vpi_key_list list = takes(DOC(THREE RULES(
        RULE(K1, "", "<cpix:VideoFilter maxPixels=\"442368\"/>") RULE(K2, "", PIXELS("442369", "2073600"))
            RULE(K3, "intendedTrackType=\"lowRes\"", "<cpix:VideoFilter minPixels=\"2073601\"/>"))));

    (void)state;
    assert_int_equal(list.count, 3);
    assert_int_equal(key_for(&list, "sd", 0), 'A');
    assert_int_equal(key_for(&list, "hd", 0), 'B');
    assert_int_equal(key_for(&list, "uhd", 0), 'C');
    vpi_key_list_dispose(&list);
    /* Borders of others: a type says enough. */
    list =
        takes(DOC(THREE RULES(RULE(K1, "intendedTrackType=\"SD\"", PIXELS("0", "589824"))
                                  RULE(K2, "intendedTrackType=\"HD\"", PIXELS("589825", "2073600"))
                                      RULE(K3, "intendedTrackType=\"UHD1\"", PIXELS("2073601", "8847360")))));
    assert_int_equal(list.count, 3);
    assert_int_equal(key_for(&list, "sd", 0), 'A');
    assert_int_equal(key_for(&list, "hd", 0), 'B');
    assert_int_equal(key_for(&list, "uhd", 0), 'C');
    vpi_key_list_dispose(&list);
    /* Filters of one kind are joined. */
    list = takes(DOC(THREE RULES(RULE(K1, "", PIXELS("0", "442368") PIXELS("2073601", "8847360")))));
    assert_int_equal(list.count, 2);
    assert_int_equal(key_for(&list, "hd", 0), 0);
    vpi_key_list_dispose(&list);
}

static void rules_refused(void **state)
{
    (void)state;
    refuses(DOC(THREE RULES(RULE("30010203-0405-0607-0809-0a0b0c0d0e0f", "", ""))),
            "no ContentKey of its kid");
    refuses(DOC(THREE RULES(RULE(K1, "intendedTrackType=\"lowRes\"", ""))), "intendedTrackType is not known");
    refuses(DOC(THREE RULES(RULE(K1, "", PIXELS("0", "589824")))), "do not end at 442368 or 2073600");
    refuses(DOC(THREE RULES(RULE(K1, "", PIXELS("9", "3")))), "minPixels is above maxPixels");
    refuses(DOC(THREE RULES(RULE(K1, "", PIXELS("-1", "3")))), "minPixels is not a whole number");
    refuses(DOC(THREE RULES(RULE(K1, "intendedTrackType=\"HD\"", PIXELS("0", "442368")))), "do not agree");
    refuses(DOC(THREE RULES(RULE(K1, "intendedTrackType=\"AUDIO\"", "<cpix:VideoFilter/>"))), "do not agree");
    refuses(DOC(THREE RULES(RULE(K1, "intendedTrackType=\"VIDEO\"", "<cpix:AudioFilter/>"))), "do not agree");
    refuses(DOC(THREE RULES(RULE(K1, "", "<cpix:VideoFilter/><cpix:AudioFilter/>"))), "match nothing");
    refuses(DOC(THREE RULES(RULE(K1, "", "<cpix:VideoFilter hdr=\"true\"/>"))), "hdr of VideoFilter");
    refuses(DOC(THREE RULES(RULE(K1, "", "<cpix:AudioFilter minChannels=\"3\"/>"))),
            "AudioFilter without two");
    refuses(DOC(THREE RULES(RULE(K1, "", "<cpix:BitrateFilter maxBitrate=\"1\"/>"))),
            "a filter that is not supported");
    refuses(DOC(THREE RULES(RULE(K1, "", "<cpix:LabelFilter label=\"blue\"/>"))), "not of a known label");
    refuses(
        DOC(THREE RULES(RULE(K1, "intendedTrackType=\"HD1\"", "") RULE(K2, "intendedTrackType=\"HD2\"", ""))),
        "two keys for label hd, period 0");
    refuses(DOC(THREE RULES(RULE(K1, "", "<cpix:KeyPeriodFilter periodId=\"p\"/>"))),
            "no ContentKeyPeriod of its");
}

#define PERIODS(periods) "<cpix:ContentKeyPeriodList>" periods "</cpix:ContentKeyPeriodList>"
#define PERIOD(id) "<cpix:KeyPeriodFilter periodId=\"" id "\"/>"

static void periods(void **state)
{
    /* Rules may stand before what they name. */
    vpi_key_list list = takes(
        DOC(RULES(RULE(K1, "intendedTrackType=\"AUDIO\"", "") RULE(K2, "", "<cpix:VideoFilter/>" PERIOD("a"))
                      RULE(K3, "", PERIOD("c") PERIOD("b") "<cpix:VideoFilter/>"))
                THREE PERIODS("<cpix:ContentKeyPeriod id=\"c\" index=\"2\"/><cpix:ContentKeyPeriod "
                              "id=\"a\" index=\"0\"/><cpix:ContentKeyPeriod id=\"b\" index=\"1\"/>")));

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(key_for(&list, "audio", i), 'A');
        assert_int_equal(key_for(&list, "hd", i), i ? 'C' : 'B');
    }
    assert_int_equal(key_for(&list, "hd", 3), 0);
    vpi_key_list_dispose(&list);
    list = takes(DOC(KEYS(KEY(K1, V1) KEY(K2, V2)) PERIODS("<cpix:ContentKeyPeriod id=\"z\" start=\"2020\"/>"
                                                           "<cpix:ContentKeyPeriod id=\"a\" start=\"2021\"/>")
                         RULES(RULE(K1, "", PERIOD("z")) RULE(K2, "", PERIOD("a")))));
    assert_int_equal(key_for(&list, "*", 0), 'A');
    assert_int_equal(key_for(&list, "*", 1), 'B');
    vpi_key_list_dispose(&list);
    refuses(DOC(THREE PERIODS("<cpix:ContentKeyPeriod id=\"c\" index=\"100000\"/>")), "index is too large");
    refuses(
        DOC(THREE PERIODS("<cpix:ContentKeyPeriod id=\"c\" index=\"1\"/><cpix:ContentKeyPeriod id=\"d\"/>")),
        "some periods have an index");
    refuses(DOC(THREE PERIODS("<cpix:ContentKeyPeriod id=\"c\"/><cpix:ContentKeyPeriod id=\"c\"/>")),
            "an id is there twice");
}

/* ---- DRM systems ---- */

#define SYSTEM(id, inside) "<cpix:DRMSystem kid=\"" K1 "\" systemId=\"" id "\">" inside "</cpix:DRMSystem>"
#define WIDEVINE "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed"
#define FAIRPLAY "94CE86FB-07FF-4F43-ADB8-93D2FA968CA2"
#define AES128 "81376844-f976-481e-a84e-cc25d39b0b33"
#define BOX "AAAAIHBzc2gAAAAA7e+LqXnWSs6j\nyCfc1R0h7QAAAAA="
#define SYSTEMS(systems) DOC(KEYS(KEY(K1, V1)) "<cpix:DRMSystemList>" systems "</cpix:DRMSystemList>")

static char *base64_of(const char *text)
{
    vpi_buf b = { 0 };

    vpi_base64_add(&b, text, strlen(text));
    return vpi_buf_steal_string(&b);
}

/* A document whose FairPlay says `text` in the element, which is given as "name attributes". */
static char *fairplay(const char *element, const char *text)
{
    size_t name = strcspn(element, " ");
    char *coded = base64_of(text), *whole;

    whole = vpi_asprintf("%s<cpix:%s>%s</cpix:%.*s>%s",
                         ROOT KEYS(KEY(K1, V1)) "<cpix:DRMSystemList><cpix:DRMSystem kid=\"" K1
                                                "\" systemId=\"" FAIRPLAY "\">",
                         element, coded, (int)name, element,
                         "</cpix:DRMSystem></cpix:DRMSystemList></cpix:CPIX>");
    assert_non_null(whole);
    vpi_free(coded);
    return whole;
}

static void systems(void **state)
{
    static const struct {
        const char *element, *text, *uri, *laurl;
    } cases[] = {
        { "URIExtXKey", "skd://one\n", "skd://one", NULL },
        { "HLSSignalingData", "#EXT-X-KEY:METHOD=SAMPLE-AES,KEYFORMAT=\"a,URI=\",URI=\"skd://two\",X=1",
          "skd://two", NULL },
        { "HLSSignalingData playlist=\"media\"", "#X\r\n#EXT-X-KEY:URI=\"skd://3\"\r\n", "skd://3", NULL },
        { "HLSSignalingData playlist=\"master\"", "#EXT-X-SESSION-KEY:URI=\"skd://4\"", NULL, NULL },
        { "HLSSignalingData", "#EXT-X-KEY:METHOD=NONE", NULL, NULL },
        { "HLSSignalingData", "nothing", NULL, NULL },
        { "ContentProtectionData", "<dashif:laurl>https://l/?a&amp;b</dashif:laurl><cenc:pssh>x</cenc:pssh>",
          NULL, "https://l/?a&b" },
        { "ContentProtectionData",
          "<dashif:Laurl xmlns:dashif=\"https://dashif.org/\">https://l</dashif:Laurl>", NULL, "https://l" },
        { "ContentProtectionData", "<own:x/>", NULL, NULL },
    };
    vpi_key_list list =
        takes(SYSTEMS(SYSTEM(WIDEVINE, "<cpix:PSSH>" BOX "</cpix:PSSH>")
                          SYSTEM(FAIRPLAY, "<cpix:PSSH/><cpix:ContentProtectionData/>")
                              SYSTEM(AES128, "<cpix:URIExtXKey>aHR0cHM6Ly9rLzE=</cpix:URIExtXKey>")));

    (void)state;
    assert_int_equal(list.count, 1);
    assert_string_equal(list.keys[0].info.uri, "https://k/1");
    assert_int_equal(list.keys[0].info.drm_count, 2);
    assert_int_equal(list.keys[0].info.drm[0].pssh_size, 32);
    assert_memory_equal(list.keys[0].info.drm[1].system, vpi_system_fairplay, 16);
    assert_null(list.keys[0].info.drm[1].pssh);
    vpi_key_list_dispose(&list);
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        char *text = fairplay(cases[i].element, cases[i].text);

        list = takes(text);
        assert_int_equal(list.keys[0].info.drm_count, 1);
        assert_true(vpi_streq(list.keys[0].info.drm[0].uri, cases[i].uri));
        assert_true(vpi_streq(list.keys[0].info.drm[0].laurl, cases[i].laurl));
        vpi_key_list_dispose(&list);
        vpi_free(text);
    }
}

static void systems_refused(void **state)
{
    char *text;

    (void)state;
    refuses(SYSTEMS(SYSTEM("widevine", "")), "systemId is not a UUID");
    refuses(SYSTEMS("<cpix:DRMSystem systemId=\"" WIDEVINE "\" kid=\"" K2 "\"/>"),
            "no ContentKey of its kid");
    refuses(SYSTEMS("<cpix:DRMSystem systemId=\"" WIDEVINE "\"/>"), "DRMSystem[0]: no kid");
    refuses(SYSTEMS(SYSTEM(WIDEVINE, "") SYSTEM(WIDEVINE, "")), "was there before");
    refuses(SYSTEMS(SYSTEM(WIDEVINE, "<cpix:PSSH>AAAA</cpix:PSSH>")), "not one whole 'pssh' box");
    refuses(SYSTEMS(SYSTEM(FAIRPLAY, "<cpix:PSSH>" BOX "</cpix:PSSH>")), "a box of another system");
    refuses(SYSTEMS(SYSTEM(FAIRPLAY, "<cpix:URIExtXKey>!</cpix:URIExtXKey>")), "URIExtXKey is not base64");
    text = fairplay("URIExtXKey", "skd://a b");
    refuses(text, "URI: not printable ASCII");
    vpi_free(text);
}

/* ---- encrypted documents ---- */

static char folder[] = "/tmp/vodpipe-cpix-XXXXXX";
static bool have_openssl;

#define DOCUMENT_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define IV_HEX "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"

/* The keys and pieces of a document, by the command line of OpenSSL only. */
static const char script[] =
    "set -e; cd '%s'; exec >log 2>&1\n"
    "for k in own other; do openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out $k.pem\n"
    "openssl req -x509 -new -key $k.pem -subj /CN=$k -days 9999 -outform DER -out $k.crt\n"
    "openssl pkey -in $k.pem -pubout -out $k.pub; openssl base64 -A -in $k.crt -out $k.crt.b64; done\n"
    "openssl pkey -in own.pem -outform DER -out own.der\n"
    "openssl rsa -in own.pem -traditional -out own.pkcs1; openssl rsa -in own.pem -traditional -outform DER "
    "-out own.der1\n"
    "openssl pkcs8 -topk8 -in own.pem -v2 aes-256-cbc -passout 'pass:two words' -out own.locked\n"
    "openssl pkcs8 -topk8 -in own.pem -v2 aes-256-cbc -passout 'pass:two words' -outform DER -out "
    "own.lockedder\n"
    "printf 'AAAAAAAAAAAAAAAA' >content; openssl rand -out mac 64\n"
    "openssl enc -aes-256-cbc -K " DOCUMENT_HEX " -iv " IV_HEX " -in content -out body\n"
    "cat iv body >wrapped; openssl base64 -A -in wrapped -out wrapped.b64\n"
    "openssl dgst -sha512 -mac HMAC -macopt hexkey:$(od -An -v -tx1 mac | tr -d ' \\n') -binary -out sum "
    "wrapped\n"
    "openssl base64 -A -in sum -out sum.b64\n"
    "for k in own other; do for f in document mac; do openssl pkeyutl -encrypt -pubin -inkey $k.pub "
    "-pkeyopt rsa_padding_mode:oaep -in $f -out $f.$k; openssl base64 -A -in $f.$k -out $f.$k.b64; done; "
    "done\n";

static void write_file(const char *name, const void *data, size_t size)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* NUL-terminated; vpi_free. */
static char *read_file(const char *name, size_t *size)
{
    char path[128], block[512];
    vpi_buf b = { 0 };
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "rb");
    assert_non_null(f);
    while ((n = fread(block, 1, sizeof(block), f)) > 0) vpi_buf_add(&b, block, n);
    fclose(f);
    if (size) *size = b.size;
    return vpi_buf_steal_string(&b);
}

static int make_files(void **state)
{
    uint8_t document[32], iv[16];
    char command[sizeof(script) + 256];

    (void)state;
    assert_true(vpi_hex_parse(DOCUMENT_HEX, document, sizeof(document)) &&
                vpi_hex_parse(IV_HEX, iv, sizeof(iv)));
    if (!mkdtemp(folder)) return -1;
    write_file("document", document, sizeof(document));
    write_file("iv", iv, sizeof(iv));
    snprintf(command, sizeof(command), script, folder);
    have_openssl = system(command) == 0;
    return 0;
}

static int remove_files(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

typedef struct pieces {
    char *document_own, *document_other, *mac_own, *mac_other, *wrapped, *sum, *own, *other;
} pieces;

static pieces load(void)
{
    pieces p;

    p.document_own = read_file("document.own.b64", NULL);
    p.document_other = read_file("document.other.b64", NULL);
    p.mac_own = read_file("mac.own.b64", NULL);
    p.mac_other = read_file("mac.other.b64", NULL);
    p.wrapped = read_file("wrapped.b64", NULL);
    p.sum = read_file("sum.b64", NULL);
    p.own = read_file("own.crt.b64", NULL);
    p.other = read_file("other.crt.b64", NULL);
    return p;
}

static void unload(pieces *p)
{
    char **all[] = { &p->document_own, &p->document_other, &p->mac_own, &p->mac_other, &p->wrapped, &p->sum,
                     &p->own,          &p->other };

    for (size_t i = 0; i < VPI_COUNT(all); i++) vpi_free(*all[i]);
}

#define METHOD(name) "<enc:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/" name "\"/>"

static void add_value(vpi_buf *b, const char *method, const char *value)
{
    vpi_buf_printf(b, "<pskc:EncryptedValue>%s<enc:CipherData><enc:CipherValue>", method);
    /* Broken into lines, as some write it. */
    for (size_t n = strlen(value), i = 0; i < n; i += 64) {
        vpi_buf_add(b, value + i, VPI_MIN(n - i, (size_t)64));
        vpi_buf_str(b, "\n    ");
    }
    vpi_buf_str(b, "</enc:CipherValue></enc:CipherData></pskc:EncryptedValue>");
}

static void add_delivery(vpi_buf *b, const char *certificate, const char *document, const char *attributes,
                         const char *mac)
{
    vpi_buf_str(b, "<cpix:DeliveryData>");
    if (certificate) {
        vpi_buf_printf(b,
                       "<cpix:DeliveryKey><ds:X509Data xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">"
                       "<ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></cpix:DeliveryKey>",
                       certificate);
    }
    vpi_buf_printf(b, "<cpix:DocumentKey %s><cpix:Data><pskc:Secret>", attributes);
    add_value(b, METHOD("xmlenc#rsa-oaep-mgf1p"), document);
    vpi_buf_str(b, "</pskc:Secret></cpix:Data></cpix:DocumentKey>");
    if (mac) {
        /* Both names that there are for it. */
        const char *key = certificate ? "pskc:MACKey" : "cpix:Key";

        vpi_buf_printf(
            b,
            "<cpix:MACMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#hmac-sha512\"><%s>" METHOD(
                "xmlenc#rsa-oaep-mgf1p") "<enc:CipherData><enc:CipherValue>%s</enc:CipherValue>"
                                         "</enc:CipherData></%s></cpix:MACMethod>",
            key, mac, key);
    }
    vpi_buf_str(b, "</cpix:DeliveryData>");
}

static char *end_document(vpi_buf *b, const char *wrapped, const char *sum)
{
    vpi_buf_str(b, "</cpix:DeliveryDataList><cpix:ContentKeyList><cpix:ContentKey kid=\"" K1
                   "\"><cpix:Data><pskc:Secret>");
    add_value(b, METHOD("xmlenc#aes256-cbc"), wrapped);
    if (sum) vpi_buf_printf(b, "<pskc:ValueMAC>%s</pskc:ValueMAC>", sum);
    vpi_buf_str(b, "</pskc:Secret></cpix:Data></cpix:ContentKey></cpix:ContentKeyList></cpix:CPIX>");
    return vpi_buf_steal_string(b);
}

/* For one recipient; mac and sum may be NULL. */
static char *document_for(const char *document, const char *attributes, const char *mac, const char *wrapped,
                          const char *sum)
{
    vpi_buf b = { 0 };

    vpi_buf_str(&b, ROOT "<cpix:DeliveryDataList>");
    add_delivery(&b, NULL, document, attributes, mac);
    return end_document(&b, wrapped, sum);
}

static void opens(const char *text, const char *file, const char *words)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;
    size_t size;
    char *key = read_file(file, &size);

    if (parse_with(text, key, size, words, &list, &err) != VP_OK) assert_string_equal(err.message, "");
    assert_int_equal(list.count, 1);
    assert_memory_equal(list.keys[0].key, "AAAAAAAAAAAAAAAA", 16);
    vpi_key_list_dispose(&list);
    vpi_free(key);
}

/* text is freed. */
static void closed(char *text, const char *file, const char *words, const char *message)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;
    size_t size = 0;
    char *key = file ? read_file(file, &size) : NULL;

    assert_int_equal(parse_with(text, key, size, words, &list, &err), VP_E_AUTH);
    assert_string_equal(err.reason, "KEY_INVALID");
    if (!strstr(err.message, message)) assert_string_equal(err.message, message);
    assert_null(list.keys);
    vpi_free(key);
    vpi_free(text);
}

static void encrypted(void **state)
{
    vpi_buf b = { 0 };
    pieces p;
    char *text;

    (void)state;
    if (!have_openssl) skip();
    p = load();
    text = document_for(p.document_own, "", p.mac_own, p.wrapped, p.sum);
    opens(text, "own.pem", NULL);
    opens(text, "own.der", NULL);
    opens(text, "own.pkcs1", NULL);
    opens(text, "own.der1", NULL);
    opens(text, "own.locked", "two words");
    opens(text, "own.lockedder", "two words");
    opens(text, "own.pem", "not needed");
    vpi_free(text);
    text = document_for(p.document_own, "encryptsKey=\"" K2 " " K1 "\"", NULL, p.wrapped, NULL);
    opens(text, "own.pem", NULL);
    vpi_free(text);
    vpi_buf_str(&b, ROOT "<cpix:DeliveryDataList>");
    add_delivery(&b, p.other, p.document_other, "", p.mac_other);
    add_delivery(&b, p.own, p.document_own, "", p.mac_own);
    text = end_document(&b, p.wrapped, p.sum);
    opens(text, "own.pem", NULL);
    opens(text, "other.pem", NULL);
    vpi_free(text);
    /* Without certificates each is tried. */
    vpi_buf_str(&b, ROOT "<cpix:DeliveryDataList>");
    add_delivery(&b, NULL, p.document_other, "", p.mac_other);
    add_delivery(&b, NULL, p.document_own, "", p.mac_own);
    text = end_document(&b, p.wrapped, p.sum);
    opens(text, "own.pem", NULL);
    vpi_free(text);
    unload(&p);
}

static void encrypted_refused(void **state)
{
    char *broken, *text;
    pieces p;

    (void)state;
    if (!have_openssl) skip();
    p = load();
    broken = vpi_strdup(p.wrapped);
    broken[2] = broken[2] == 'A' ? 'B' : 'A';
    closed(document_for(p.document_own, "", p.mac_own, p.wrapped, p.sum), NULL, NULL,
           "no private key was given");
    closed(document_for(p.document_own, "", p.mac_own, p.wrapped, p.sum), "other.pem", NULL,
           "nothing that this private");
    closed(document_for(p.document_own, "", p.mac_own, p.wrapped, p.sum), "own.locked", NULL,
           "private key: not an RSA");
    closed(document_for(p.document_own, "", p.mac_own, p.wrapped, p.sum), "own.locked", "no",
           "private key: not an RSA");
    closed(document_for(p.document_own, "", p.mac_own, p.wrapped, p.sum), "own.crt", NULL,
           "private key: not an RSA");
    closed(document_for(p.document_own, "", p.mac_own, p.wrapped, NULL), "own.pem", NULL, "no ValueMAC");
    closed(document_for(p.document_own, "", p.mac_own, broken, p.sum), "own.pem", NULL, "ValueMAC is wrong");
    closed(document_for(p.document_own, "", p.mac_other, p.wrapped, p.sum), "own.pem", NULL,
           "key of MACMethod cannot");
    closed(document_for(p.document_own, "", NULL, V1, NULL), "own.pem", NULL, "not of an AES-128 key");
    closed(document_for(p.document_own, "encryptsKey=\"" K2 "\"", NULL, p.wrapped, NULL), "own.pem", NULL,
           "no DocumentKey for it");
    closed(document_for(p.document_own, "encryptsKey=\"x\"", NULL, p.wrapped, NULL), "own.pem", NULL,
           "list of UUIDs");
    closed(document_for(p.mac_own, "", NULL, p.wrapped, NULL), "own.pem", NULL,
           "DocumentKey is not of 256 bits");
    /* A key in the clear in the place of an encrypted one. */
    text = document_for(p.document_own, "", p.mac_own, p.wrapped, p.sum);
    memcpy(strstr(text, "</cpix:DeliveryDataList>") + strlen("</cpix:DeliveryDataList>"),
           KEYS(KEY(K1, V1)) "</cpix:CPIX>", sizeof(KEYS(KEY(K1, V1)) "</cpix:CPIX>"));
    closed(text, "own.pem", NULL, "in the clear, but there is DeliveryData");
    vpi_free(broken);
    unload(&p);
}

static void no_memory(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;
    char *text, *key;
    size_t size;
    vp_status st;
    pieces p;
    long n;

    (void)state;
    if (!have_openssl) skip();
    p = load();
    text = document_for(p.document_own, "", p.mac_own, p.wrapped, p.sum);
    key = read_file("own.pem", &size);
    for (n = 1; n < 2000; n++) {
        vp_error_init(&err);
        vpi_alloc_fail_at = n;
        st = vpi_cpix_parse(text, strlen(text), key, size, NULL, &list, &err);
        if (vpi_alloc_fail_at > 0) break;
        assert_true(st == VP_E_NOMEM || st == VP_OK);
        vpi_key_list_dispose(&list);
    }
    vpi_alloc_fail_at = 0;
    assert_int_equal(st, VP_OK);
    assert_true(n > 20);
    vpi_key_list_dispose(&list);
    vpi_free(text);
    vpi_free(key);
    unload(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_key),         cmocka_unit_test(refusals),  cmocka_unit_test(deep),
        cmocka_unit_test(track_types),     cmocka_unit_test(pixels),    cmocka_unit_test(rules_refused),
        cmocka_unit_test(periods),         cmocka_unit_test(systems),   cmocka_unit_test(encrypted),
        cmocka_unit_test(systems_refused), cmocka_unit_test(no_memory), cmocka_unit_test(encrypted_refused),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
