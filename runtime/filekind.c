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
    {0, 2, "\x1f\x8b", "gzip data"},
    {0, 6,
     "\xfd"
     "7zXZ\0",
     "xz data"},
    {0, 4, "\x28\xb5\x2f\xfd", "zstd data"},
    {0, 4, "\x04\x22\x4d\x18", "lz4 data"},
    {0, 3, "BZh", "bzip2 data"},
    {0, 6, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive"},
    {0, 4, "Rar!", "a RAR archive"},
    {257, 5, "ustar", "a tar archive"},
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
    {0, 4, "\xff\xfe\0\0", "text in UTF-32"},
    {0, 2, "\xff\xfe", "text in UTF-16"},
    {0, 2, "\xfe\xff", "text in UTF-16"},
    {0, 3, "\xef\xbb\xbf", "text with a byte order mark in front"},
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

/* Text in which each character takes two or four bytes, without a mark. */
static const char *wide_text_kind(const unsigned char *data, size_t bytes) {
  static const struct {
    unsigned step, at;
    const char *kind;
  } layouts[] = {{4, 0, "text in UTF-32"},
                 {4, 3, "text in UTF-32"},
                 {2, 0, "text in UTF-16"},
                 {2, 1, "text in UTF-16"}};
  for (size_t l = 0; l < sizeof layouts / sizeof layouts[0]; ++l) {
    unsigned step = layouts[l].step;
    size_t count = bytes / step < 64 ? bytes / step : 64;
    bool fits = count >= 4 && bytes % step == 0;
    for (size_t i = 0; fits && i < count * step; ++i) {
      bool printable = (data[i] >= 32 && data[i] < 127) || data[i] == '\n' ||
                       data[i] == '\r' || data[i] == '\t';
      fits = i % step == layouts[l].at ? printable : !data[i];
    }
    if (fits)
      return layouts[l].kind;
  }
  return NULL;
}

size_t nncc_utf8_length(const char *text, size_t bytes) {
  const unsigned char *c = (const unsigned char *)text;
  size_t length = c[0] < 0x80   ? 1
                  : c[0] < 0xc2 ? 0
                  : c[0] < 0xe0 ? 2
                  : c[0] < 0xf0 ? 3
                  : c[0] < 0xf5 ? 4
                                : 0;
  if (length > bytes)
    return 0;
  for (size_t i = 1; i < length; ++i)
    if ((c[i] & 0xc0) != 0x80)
      return 0;
  bool longer = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
  bool surrogate = c[0] == 0xed && c[1] >= 0xa0;
  bool beyond = c[0] == 0xf4 && c[1] >= 0x90;
  return longer || surrogate || beyond ? 0 : length;
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
  if (starts(data, bytes,
             "\x7f"
             "ELF"))
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
    return bytes > 13 && !memcmp(data + 2,
                                 "\x8a\nl\xfc\x9c"
                                 "F\xf9",
                                 7)
               ? "a PyTorch checkpoint"
               : "a Python pickle";
  const char *known = protobuf_kind(data, bytes);
  if (!known)
    known = wide_text_kind(data, bytes);
  if (known)
    return known;
  if (nncc_is_text(data, bytes))
    return NULL;
  for (size_t i = 0; i < bytes && i < 4096; ++i)
    if (data[i])
      return "binary data";
  return "a file of zeros";
}

const char *nncc_file_advice(const char *kind) {
  static const char unpack[] = ": unpack it first",
                    save[] = ": save it as UTF-8",
                    convert[] = ": safetensors.torch.save_file(module"
                                ".state_dict(), ...) writes one";
  static const struct {
    const char *kind, *advice;
  } advices[] = {{"gzip data", unpack},
                 {"xz data", unpack},
                 {"zstd data", unpack},
                 {"lz4 data", unpack},
                 {"bzip2 data", unpack},
                 {"a 7-Zip archive", unpack},
                 {"a RAR archive", unpack},
                 {"a tar archive", unpack},
                 {"text in UTF-16", save},
                 {"text in UTF-32", save},
                 {"text with a byte order mark in front",
                  ": save it as UTF-8 without one"},
                 {"a git-lfs pointer", ": run git lfs pull"},
                 {"an HTML page", ": the download failed"},
                 {"a PyTorch checkpoint", convert},
                 {"a Python pickle", convert}};
  for (size_t i = 0; i < sizeof advices / sizeof advices[0]; ++i)
    if (!strcmp(advices[i].kind, kind))
      return advices[i].advice;
  return "";
}
