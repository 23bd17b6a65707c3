# SPDX-License-Identifier: LGPL-2.1-or-later
"""CRC32C and CRC64NVME for the scripted S3 server: by a few lines of C, compiled at first use, else (slowly) in Python; and
how checksums of neighbouring parts become that of the whole. Bit order reflected, all ones before and after."""
import ctypes
import os
import shutil
import subprocess
import tempfile
import zlib

POLY = {"crc32": 0xEDB88320, "crc32c": 0x82F63B78, "crc64nvme": 0x9A6C9329AC4BC9B5}
WIDTH = {"crc32": 32, "crc32c": 32, "crc64nvme": 64}
SOURCE = r"""
#include <stddef.h>
#include <stdint.h>
static uint64_t table[2][8][256];
void s3_init(void)
{
    static const uint64_t poly[2] = { 0x82F63B78u, 0x9A6C9329AC4BC9B5u };
    for (int k = 0; k < 2; k++) {
        for (int n = 0; n < 256; n++) {
            uint64_t c = (uint64_t)n;
            for (int b = 0; b < 8; b++) c = c & 1 ? c >> 1 ^ poly[k] : c >> 1;
            table[k][0][n] = c;
        }
        for (int n = 0; n < 256; n++)
            for (int s = 1; s < 8; s++)
                table[k][s][n] = table[k][s - 1][n] >> 8 ^ table[k][0][table[k][s - 1][n] & 255];
    }
}
uint64_t s3_crc(int k, uint64_t c, const unsigned char *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v = 0, r = 0;
        for (int i = 0; i < 8; i++) v |= (uint64_t)p[i] << 8 * i;
        v ^= c;
        for (int i = 0; i < 8; i++) r ^= table[k][7 - i][v >> 8 * i & 255];
        c = r;
    }
    for (; n; n--, p++) c = c >> 8 ^ table[k][0][(c ^ *p) & 255];
    return c;
}
"""
_library = None
_tables = {}


def library():
    global _library
    if _library is None:
        _library = False
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler:
            with tempfile.TemporaryDirectory(prefix="vodpipe-crc-") as d:
                with open(d + "/crc.c", "w", encoding="ascii") as f:
                    f.write(SOURCE)
                run = subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", d + "/crc.so", d + "/crc.c"],
                                     capture_output=True, check=False)
                if run.returncode == 0:
                    _library = ctypes.CDLL(os.path.abspath(d + "/crc.so"))
                    _library.s3_crc.restype = ctypes.c_uint64
                    _library.s3_crc.argtypes = [ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t]
                    _library.s3_init()
    return _library


def update(name, crc, data):
    """crc: what came out for the bytes before, 0 at first."""
    if name == "crc32":
        return zlib.crc32(data, crc)
    mask = (1 << WIDTH[name]) - 1
    found = library()
    if found:
        view = memoryview(data)
        if view.readonly:
            at = ctypes.cast(ctypes.c_char_p(bytes(view)), ctypes.c_void_p)
        else:
            at = ctypes.addressof(ctypes.c_char.from_buffer(view)) if len(view) else None
        return found.s3_crc(int(name == "crc64nvme"), crc ^ mask, at, len(view)) ^ mask
    table = _tables.get(name)
    if table is None:
        table = []
        for n in range(256):
            for _ in range(8):
                n = n >> 1 ^ POLY[name] if n & 1 else n >> 1
            table.append(n)
        _tables[name] = table
    crc ^= mask
    for byte in bytes(data):
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ mask


def multiply(name, a, b):
    """Product of two polynomials modulo the one of the CRC, all reflected."""
    bit, product = 1 << (WIDTH[name] - 1), 0
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        b = b >> 1 ^ POLY[name] if b & 1 else b >> 1
        bit >>= 1
    return product


def combine(name, first, second, length):
    """CRC of the bytes of first and then those of second, which are length many."""
    power, factor = 1 << (WIDTH[name] - 1), 1 << (WIDTH[name] - 9)  # x^0, x^8
    while length:
        if length & 1:
            power = multiply(name, power, factor)
        factor = multiply(name, factor, factor)
        length >>= 1
    return multiply(name, first, power) ^ second


def to_bytes(name, crc):
    return crc.to_bytes(WIDTH[name] // 8, "big")
