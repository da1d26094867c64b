/* filekind.c - what files of other tools are, by their first bytes.
 *
 * People hand over what they have: checkpoints of other frameworks, pointers
 * instead of files, archives. A name for it helps more than "malformed".
 */
#define _GNU_SOURCE
#include "internal.h"
#include <string.h>
#include <strings.h>

/* Bytes at a fixed place. */
static const struct magic {
  unsigned offset, length;
  const char *bytes, *kind;
} magics[] = {
    {0, 4, "GGUF", "a GGUF file"},
    {0, 4, "lmgg", "a GGML file"},
    {0, 4, "tjgg", "a GGML file"},
    {4, 4, "TFL3", "a TFLite model"},
    {4, 4, "ET12", "an ExecuTorch program"},
    {0, 8, "\x89HDF\r\n\x1a\n", "an HDF5 file (Keras?)"},
    {0, 6, "\x93NUMPY", "a NumPy array"},
    {0, 8, "!<arch>\n", "an archive of objects"},
    {0, 8, "!<thin>\n", "a thin archive of objects"},
    {0, 4, "\xcf\xfa\xed\xfe", "a macOS program or library"},
    {0, 4, "\xce\xfa\xed\xfe", "a macOS program or library"},
    {0, 4, "\xca\xfe\xba\xbe", "a macOS or Java binary"},
    {0, 4, "\0asm", "a WebAssembly module"},
    {0, 4, "BC\xc0\xde", "LLVM bitcode"},
    {0, 4, "ML\xefR", "MLIR bytecode"},
    {0, 8, "\x89PNG\r\n\x1a\n", "a PNG image"},
    {0, 3, "\xff\xd8\xff", "a JPEG image"},
    {0, 4, "GIF8", "a GIF image"},
    {8, 4, "WEBP", "a WebP image"},
    {8, 4, "WAVE", "a WAV recording"},
    {4, 4, "ftyp", "a video or HEIF image"},
    {0, 4, "II*\0", "a TIFF image"},
    {0, 4, "MM\0*", "a TIFF image"},
    {0, 4, "OggS", "an Ogg recording"},
    {0, 3, "ID3", "an MP3 recording"},
    {0, 4, "fLaC", "a FLAC recording"},
    {0, 2, "\x1f\x8b", "gzip data: unpack it first"},
    {0, 6, "\xfd" "7zXZ\0", "xz data: unpack it first"},
    {0, 4, "\x28\xb5\x2f\xfd", "zstd data: unpack it first"},
    {0, 4, "\x04\x22\x4d\x18", "lz4 data: unpack it first"},
    {0, 3, "BZh", "bzip2 data: unpack it first"},
    {0, 6, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first"},
    {0, 4, "Rar!", "a RAR archive: unpack it first"},
    {257, 5, "ustar", "a tar archive: unpack it first"},
    {0, 5, "%PDF-", "a PDF document"},
    {0, 16, "SQLite format 3\0", "an SQLite database"},
    {0, 4, "PAR1", "a Parquet file"},
    {0, 6, "ARROW1", "an Arrow file"},
    {0, 4, "ORC\n", "an ORC file"},
    {0, 6, "MATLAB", "a MATLAB file"},
    {0, 2, "MZ", "a Windows program or library"},
    {0, 2, "#!", "a script"},
    {0, 26, "version https://git-lfs.gi", "a git-lfs pointer"},
    {0, 23, "version https://git-lfs", "a git-lfs pointer"},
    {0, 4, "\xff\xfe\0\0", "text in UTF-32: save it as UTF-8"},
    {0, 2, "\xff\xfe", "text in UTF-16: save it as UTF-8"},
    {0, 2, "\xfe\xff", "text in UTF-16: save it as UTF-8"},
    {0, 3, "\xef\xbb\xbf",
     "text with a byte order mark in front: save it as UTF-8 without one"},
    {0, 5, "<?xml", "an XML document"},
    {0, 5, "{\\rtf", "an RTF document"},
};

static bool starts(const unsigned char *data, size_t bytes, const char *text) {
  size_t length = strlen(text);
  return bytes >= length && !strncasecmp((const char *)data, text, length);
}

static uint64_t number(const unsigned char *data, size_t at, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i)
    value |= (uint64_t)data[at + i] << (8 * i);
  return value;
}

/* The header of an ELF file says program, library or object; a program that can
 * lie anywhere looks like a library but asks for an interpreter. */
static const char *elf_kind(const unsigned char *data, size_t bytes) {
  if (bytes < 64)
    return "a truncated ELF file";
  uint64_t type = number(data, 16, 2);
  if (type == 1)
    return "an object file";
  if (type == 4)
    return "a core dump";
  bool wide = data[4] == 2;
  uint64_t table = wide ? number(data, 32, 8) : number(data, 28, 4);
  uint64_t size = number(data, wide ? 54 : 42, 2);
  uint64_t count = number(data, wide ? 56 : 44, 2);
  for (uint64_t i = 0; type == 3 && i < count; ++i) {
    uint64_t at = table + i * size;
    if (at > bytes || bytes - at < 4)
      break;
    if (number(data, at, 4) == 3) /* PT_INTERP */
      return "an ELF program";
  }
  return type == 3 ? "a shared library" : "an ELF program";
}

/* By the name of its first entry. */
static const char *zip_kind(const unsigned char *data, size_t bytes) {
  if (bytes < 30)
    return "a zip archive";
  size_t length = number(data, 26, 2);
  if (length > bytes - 30)
    length = bytes - 30;
  const unsigned char *name = data + 30;
  if (memmem(name, length, "data.pkl", 8) ||
      memmem(data, bytes, "data.pkl", 8) ||
      memmem(name, length, ".format_version", 15) ||
      memmem(name, length, "byteorder", 9))
    return "a PyTorch checkpoint";
  if (length > 4 && !memcmp(name + length - 4, ".npy", 4))
    return "a NumPy .npz archive";
  if (memmem(name, length, "[Content_Types]", 15))
    return "an Office document";
  if (memmem(name, length, "META-INF", 8))
    return "a Java archive";
  if (memmem(name, length, "metadata.json", 13) &&
      memmem(data, bytes, "keras", 5))
    return "a Keras model";
  return "a zip archive";
}

/* Fields of ModelProto: ir_version, then another one of the first nine; a
 * SavedModel begins with version 1 and a graph. */
static const char *protobuf_kind(const unsigned char *data, size_t bytes) {
  if (bytes < 4 || data[0] != 8 || data[1] == 0 || data[1] > 32)
    return NULL;
  unsigned field = data[2] >> 3, type = data[2] & 7;
  if (field < 2 || (field > 9 && field != 14 && field != 20 && field != 25) ||
      (type != 0 && type != 2))
    return NULL;
  return data[1] == 1 && field == 2 ? "a TensorFlow SavedModel"
                                    : "an ONNX model";
}

bool nncc_is_text(const void *memory, size_t bytes) {
  const unsigned char *data = memory;
  for (size_t i = 0; i < bytes && i < 4096; ++i)
    if ((data[i] < 32 && !strchr("\t\n\r\f\v\x1b", data[i])) || !data[i] ||
        data[i] == 127)
      return false;
  return true;
}

const char *nncc_file_kind(const void *memory, size_t bytes) {
  const unsigned char *data = memory;
  if (!data || !bytes)
    return NULL;
  /* The length of a header may begin like anything. */
  if (bytes > 8 && data[7] == 0 && data[8] == '{')
    return "a safetensors file";
  if (starts(data, bytes, "\x7f" "ELF"))
    return elf_kind(data, bytes);
  if (starts(data, bytes, "PK\x03\x04"))
    return zip_kind(data, bytes);
  if (starts(data, bytes, "PK\x05\x06"))
    return "an empty zip archive";
  for (size_t i = 0; i < sizeof magics / sizeof magics[0]; ++i)
    if (bytes >= magics[i].offset + magics[i].length &&
        !memcmp(data + magics[i].offset, magics[i].bytes, magics[i].length))
      return magics[i].kind;
  if (starts(data, bytes, "<!DOCTYPE html") || starts(data, bytes, "<html") ||
      starts(data, bytes, "<!DOCTYPE"))
    return "an HTML page";
  if (starts(data, bytes, "<svg"))
    return "an SVG image";
  /* Protocols 2 to 5, and the magic number of PyTorch's first format. */
  if (bytes > 2 && data[0] == 0x80 && data[1] >= 2 && data[1] <= 5)
    return bytes > 13 && !memcmp(data + 2, "\x8a\nl\xfc\x9c" "F\xf9", 7)
               ? "a PyTorch checkpoint"
               : "a Python pickle";
  const char *protobuf = protobuf_kind(data, bytes);
  if (protobuf)
    return protobuf;
  if (nncc_is_text(data, bytes))
    return NULL;
  for (size_t i = 0; i < bytes && i < 4096; ++i)
    if (data[i])
      return "binary data";
  return "a file of zeros";
}
