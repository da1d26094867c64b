/* safetensors.c - a strict reader and an atomic writer.
 *
 * Format: 8 bytes little-endian header length, a JSON header, data. The reader
 * accepts exactly that: known dtypes, sizes that agree, data without holes or
 * overlaps. Files of other kinds get a sentence that says what they are.
 */
#define _GNU_SOURCE
#include "internal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { max_rank = 8, max_header = 100 << 20 };

struct nncc_file {
  nncc_file_tensor *tensors;
  uint32_t count, capacity;
  void *owned;  /* the bytes, if this object read them */
  void *mapped; /* or mapped them */
  size_t mapped_bytes;
};

static const struct {
  const char *name;
  nncc_dtype dtype;
} dtypes[] = {{"F32", NNCC_F32},   {"F64", NNCC_F64}, {"F16", NNCC_F16},
              {"BF16", NNCC_BF16}, {"I64", NNCC_I64}, {"I32", NNCC_I32},
              {"I16", NNCC_I16},   {"I8", NNCC_I8},   {"U8", NNCC_U8},
              {"BOOL", NNCC_BOOL}};

void nncc_file_free(nncc_file *file) {
  if (!file)
    return;
  for (uint32_t i = 0; i < file->count; ++i) {
    free((void *)(uintptr_t)file->tensors[i].name);
    free((void *)(uintptr_t)file->tensors[i].dims);
  }
  free(file->tensors);
  free(file->owned);
  if (file->mapped)
    munmap(file->mapped, file->mapped_bytes);
  free(file);
}

uint32_t nncc_file_count(const nncc_file *file) { return file->count; }
const nncc_file_tensor *nncc_file_get(const nncc_file *file, uint32_t index) {
  return index < file->count ? &file->tensors[index] : NULL;
}

/* --- Header --------------------------------------------------------------- */

typedef struct reader {
  const char *at, *end, *name;
  const char *problem; /* the first one */
} reader;

static bool stop(reader *r, const char *problem) {
  if (!r->problem)
    r->problem = problem;
  return false;
}

static void skip(reader *r) {
  while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at)
    ++r->at;
}

static bool peek(reader *r, char c) {
  skip(r);
  return r->at < r->end && *r->at == c;
}

static bool take(reader *r, char c) {
  if (!peek(r, c))
    return false;
  ++r->at;
  return true;
}

static bool need(reader *r, char c) {
  return take(r, c) || stop(r, "the header is not the JSON that it should be");
}

static int hex(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* \uXXXX as UTF-8; surrogates are refused, no tensor name needs them. */
static bool escape(reader *r, char **out) {
  unsigned code = 0;
  for (int i = 0; i < 4; ++i, ++r->at) {
    if (r->at == r->end || hex(*r->at) < 0)
      return stop(r, "a bad escape in the header");
    code = code * 16 + (unsigned)hex(*r->at);
  }
  if (code == 0 || (code >= 0xd800 && code < 0xe000))
    return stop(r, "a bad escape in the header");
  char *o = *out;
  if (code < 0x80) {
    *o++ = (char)code;
  } else if (code < 0x800) {
    *o++ = (char)(0xc0 | code >> 6);
    *o++ = (char)(0x80 | (code & 63));
  } else {
    *o++ = (char)(0xe0 | code >> 12);
    *o++ = (char)(0x80 | (code >> 6 & 63));
    *o++ = (char)(0x80 | (code & 63));
  }
  *out = o;
  return true;
}

/* A string, allocated; null after a problem. */
static char *string(reader *r) {
  if (!need(r, '"'))
    return NULL;
  const char *close = r->at;
  while (close < r->end && *close != '"')
    close += *close == '\\' ? 2 : 1;
  if (close >= r->end) {
    stop(r, "the header ends inside a string");
    return NULL;
  }
  char *text = malloc((size_t)(close - r->at) + 1), *out = text;
  if (!text) {
    stop(r, "no memory");
    return NULL;
  }
  while (*r->at != '"') {
    char c = *r->at++;
    if ((unsigned char)c < 32) {
      stop(r, "a control character in the header");
      break;
    }
    if (c != '\\') {
      *out++ = c;
      continue;
    }
    c = *r->at++;
    const char *known = "\"\"\\\\//b\bf\fn\nr\rt\t";
    const char *found = NULL;
    for (const char *k = known; *k; k += 2)
      if (*k == c)
        found = k + 1;
    if (found)
      *out++ = *found;
    else if (c != 'u' || !escape(r, &out)) {
      stop(r, "a bad escape in the header");
      break;
    }
  }
  if (r->problem) {
    free(text);
    return NULL;
  }
  ++r->at;
  *out = 0;
  return text;
}

static bool integer(reader *r, int64_t *value) {
  skip(r);
  const char *start = r->at;
  int64_t v = 0;
  while (r->at < r->end && *r->at >= '0' && *r->at <= '9') {
    if (v > (INT64_MAX - 9) / 10)
      return stop(r, "a number in the header is too large");
    v = v * 10 + (*r->at++ - '0');
  }
  *value = v;
  return r->at > start || stop(r, "a number is missing in the header");
}

/* [a, b, ...], at most `most`. */
static bool integers(reader *r, int64_t *list, uint32_t most, uint32_t *count) {
  *count = 0;
  if (!need(r, '['))
    return false;
  if (take(r, ']'))
    return true;
  do {
    if (*count == most)
      return stop(r, "a list in the header is too long");
    if (!integer(r, &list[(*count)++]))
      return false;
  } while (take(r, ','));
  return need(r, ']');
}

/* {"dtype": "F32", "shape": [..], "data_offsets": [a, b]} */
static bool tensor(reader *r, nncc_file_tensor *t, int64_t offsets[2]) {
  int64_t dims[max_rank];
  bool has_dtype = false, has_shape = false, has_offsets = false;
  uint32_t count = 0;
  if (!need(r, '{'))
    return false;
  do {
    char *key = string(r);
    bool good = key && need(r, ':');
    if (good && !strcmp(key, "dtype") && !has_dtype) {
      char *name = string(r);
      for (size_t i = 0; name && i < sizeof dtypes / sizeof dtypes[0]; ++i)
        if (!strcmp(dtypes[i].name, name)) {
          t->dtype = dtypes[i].dtype;
          has_dtype = true;
        }
      free(name);
      good = has_dtype || stop(r, "a dtype that is not supported");
    } else if (good && !strcmp(key, "shape") && !has_shape) {
      good = has_shape = integers(r, dims, max_rank, &t->rank);
    } else if (good && !strcmp(key, "data_offsets") && !has_offsets) {
      good = has_offsets = integers(r, offsets, 2, &count) && count == 2;
    } else if (good) {
      good = stop(r, "an unknown or repeated key in the header");
    }
    free(key);
    if (!good)
      return stop(r, "a tensor's entry is malformed");
  } while (take(r, ','));
  if (!need(r, '}') || !has_dtype || !has_shape || !has_offsets)
    return stop(r, "a tensor's entry is incomplete");
  int64_t *copy = malloc((t->rank + 1) * sizeof(int64_t));
  if (!copy)
    return stop(r, "no memory");
  memcpy(copy, dims, t->rank * sizeof(int64_t));
  t->dims = copy;
  return true;
}

static bool metadata(reader *r) {
  if (!need(r, '{'))
    return false;
  if (take(r, '}'))
    return true;
  do {
    char *key = string(r), *value = NULL;
    bool good = key && need(r, ':') && (value = string(r)) != NULL;
    free(key);
    free(value);
    if (!good)
      return stop(r, "__metadata__ is malformed");
  } while (take(r, ','));
  return need(r, '}');
}

static bool add_tensor(reader *r, nncc_file *file, char *name, const char *data,
                       uint64_t bytes) {
  nncc_file_tensor t = {0};
  int64_t offsets[2] = {0, 0};
  t.name = name;
  if (file->count == file->capacity) {
    uint32_t capacity = file->capacity ? 2 * file->capacity : 16;
    void *grown = realloc(file->tensors, capacity * sizeof t);
    if (!grown)
      return stop(r, "no memory");
    file->tensors = grown;
    file->capacity = capacity;
  }
  bool good = tensor(r, &t, offsets);
  uint64_t size = nncc_dtype_bytes(t.dtype);
  for (uint32_t d = 0; good && d < t.rank; ++d) {
    if (t.dims[d] && size > (uint64_t)INT64_MAX / (uint64_t)t.dims[d])
      good = stop(r, "a tensor's size overflows");
    size *= (uint64_t)t.dims[d];
  }
  if (good && (offsets[1] < offsets[0] || (uint64_t)offsets[1] > bytes))
    good =
        stop(r, "the file is truncated: a tensor's data lies behind its end");
  if (good && (uint64_t)(offsets[1] - offsets[0]) != size)
    good = stop(r, "a tensor's data and shape differ in size");
  for (uint32_t i = 0; good && i < file->count; ++i)
    if (!strcmp(file->tensors[i].name, name))
      good = stop(r, "a tensor stands twice in the header");
  if (!good) {
    free((void *)(uintptr_t)t.dims);
    return false;
  }
  t.data = data + offsets[0];
  t.bytes = size;
  file->tensors[file->count++] = t;
  return true;
}

static bool header(reader *r, nncc_file *file, const char *data,
                   uint64_t bytes) {
  if (!need(r, '{'))
    return false;
  if (!peek(r, '}'))
    do {
      char *name = string(r);
      if (!name || !need(r, ':')) {
        free(name);
        return false;
      }
      if (!strcmp(name, "__metadata__")) {
        free(name);
        if (!metadata(r))
          return false;
      } else if (!add_tensor(r, file, name, data, bytes)) {
        free(name);
        return false;
      }
    } while (take(r, ','));
  if (!need(r, '}'))
    return false;
  skip(r);
  return r->at == r->end || stop(r, "text behind the header's JSON");
}

static int by_offset(const void *x, const void *y) {
  const nncc_file_tensor *a = x, *b = y;
  if (a->data != b->data)
    return a->data < b->data ? -1 : 1;
  return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

/* Data must cover the rest of the file exactly. */
static bool covers(nncc_file *file, const char *data, uint64_t bytes) {
  qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
  const char *next = data;
  for (uint32_t i = 0; i < file->count; ++i) {
    if (file->tensors[i].data != next)
      return false;
    next += file->tensors[i].bytes;
  }
  return next == data + bytes;
}

/* What a file that is no safetensors file looks like. */
static const char *other_kind(const char *data, size_t bytes) {
  static const struct {
    const char *start, *kind;
  } kinds[] = {
      {"version https://git-lfs", "a git-lfs pointer, not the file itself: run "
                                  "git lfs pull"},
      {"<!DOCTYPE", "an HTML page: the download failed"},
      {"<html", "an HTML page: the download failed"},
      {"PK\x03\x04", "a zip archive (PyTorch .pt?): save with "
                     "safetensors.torch.save_file"},
      {"\x80\x02", "a Python pickle: save with safetensors.torch.save_file"},
      {"\x80\x04", "a Python pickle: save with safetensors.torch.save_file"},
      {"\x93NUMPY", "a NumPy array, not a safetensors file"},
  };
  /* The length of a header may begin like a pickle. */
  if (bytes > 8 && data[7] == 0 && data[8] == '{')
    return NULL;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
    if (bytes >= strlen(kinds[i].start) &&
        !strncasecmp(data, kinds[i].start, strlen(kinds[i].start)))
      return kinds[i].kind;
  return NULL;
}

nncc_status nncc_file_parse(const void *memory, size_t bytes, const char *name,
                            nncc_file **result) {
  const char *data = memory;
  const char *kind = other_kind(data, bytes);
  if (kind)
    return nncc_fail(NNCC_ERROR_FORMAT, "%s is %s", name, kind);
  uint64_t length = 0;
  for (size_t i = 0; i < 8 && bytes >= 8; ++i)
    length |= (uint64_t)(unsigned char)data[i] << (8 * i);
  if (bytes < 8 || length > bytes - 8)
    return nncc_fail(NNCC_ERROR_FORMAT,
                     "%s is truncated or no safetensors file: its header would "
                     "need %" PRIu64 " bytes, the file has %zu",
                     name, length, bytes);
  if (length > max_header)
    return nncc_fail(NNCC_ERROR_FORMAT, "%s: a header of %" PRIu64 " bytes",
                     name, length);
  nncc_file *file = calloc(1, sizeof *file);
  if (!file)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory to read %s", name);
  reader r = {data + 8, data + 8 + length, name, NULL};
  const char *payload = data + 8 + length;
  uint64_t rest = bytes - 8 - length;
  bool good = header(&r, file, payload, rest);
  if (good && !covers(file, payload, rest))
    good = stop(&r, "its data has holes, overlaps or something behind it");
  if (!good) {
    nncc_file_free(file);
    return nncc_fail(NNCC_ERROR_FORMAT, "%s: %s", name, r.problem);
  }
  *result = file;
  return NNCC_OK;
}

/* An open regular file and its size, or -1 with the error set. */
static int open_file(const char *path, size_t *bytes) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (descriptor < 0 || fstat(descriptor, &info)) {
    nncc_fail(NNCC_ERROR_IO, "cannot read %s: %s", path, strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    nncc_fail(NNCC_ERROR_IO, "cannot read %s: it is no regular file", path);
  } else {
    *bytes = (size_t)info.st_size;
    return descriptor;
  }
  if (descriptor >= 0)
    close(descriptor);
  return -1;
}

static bool read_all(int descriptor, char *data, size_t bytes) {
  while (bytes) {
    ssize_t got = read(descriptor, data, bytes);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    data += got;
    bytes -= (size_t)got;
  }
  return true;
}

nncc_status nncc_file_read(const char *path, nncc_file **result) {
  size_t bytes;
  int descriptor = open_file(path, &bytes);
  if (descriptor < 0)
    return NNCC_ERROR_IO;
  char *data = nncc_allocate(bytes);
  bool good = data && read_all(descriptor, data, bytes);
  close(descriptor);
  if (!good) {
    free(data);
    return nncc_fail(data ? NNCC_ERROR_IO : NNCC_ERROR_MEMORY,
                     "cannot read the %zu bytes of %s", bytes, path);
  }
  nncc_status status = nncc_file_parse(data, bytes, path, result);
  if (status)
    free(data);
  else
    (*result)->owned = data;
  return status;
}

nncc_status nncc_file_map(const char *path, nncc_file **result) {
  size_t bytes;
  int descriptor = open_file(path, &bytes);
  if (descriptor < 0)
    return NNCC_ERROR_IO;
  void *data =
      bytes ? mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0) : NULL;
  int error = errno;
  close(descriptor);
  if (data == MAP_FAILED)
    return nncc_fail(NNCC_ERROR_IO, "cannot map %s: %s", path, strerror(error));
  nncc_status status = nncc_file_parse(data, bytes, path, result);
  if (status && data) {
    munmap(data, bytes);
  } else if (!status) {
    (*result)->mapped = data;
    (*result)->mapped_bytes = bytes;
  }
  return status;
}

/* --- Writer --------------------------------------------------------------- */

static void write_name(FILE *stream, const char *name) {
  fputc('"', stream);
  for (; *name; ++name) {
    if (*name == '"' || *name == '\\')
      fprintf(stream, "\\%c", *name);
    else if ((unsigned char)*name < 32)
      fprintf(stream, "\\u%04x", *name);
    else
      fputc(*name, stream);
  }
  fputc('"', stream);
}

static char *make_header(const nncc_file_tensor *tensors, uint32_t count,
                         size_t *length) {
  char *text = NULL;
  FILE *stream = open_memstream(&text, length);
  if (!stream)
    return NULL;
  uint64_t offset = 0;
  fputc('{', stream);
  for (uint32_t i = 0; i < count; ++i) {
    const nncc_file_tensor *t = &tensors[i];
    const char *dtype = "?";
    for (size_t k = 0; k < sizeof dtypes / sizeof dtypes[0]; ++k)
      if (dtypes[k].dtype == t->dtype)
        dtype = dtypes[k].name;
    fputs(i ? "," : "", stream);
    write_name(stream, t->name);
    fprintf(stream, ":{\"dtype\":\"%s\",\"shape\":[", dtype);
    for (uint32_t d = 0; d < t->rank; ++d)
      fprintf(stream, "%s%" PRId64, d ? "," : "", t->dims[d]);
    fprintf(stream, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset,
            offset + t->bytes);
    offset += t->bytes;
  }
  fputc('}', stream);
  while (ftell(stream) % 8)
    fputc(' ', stream);
  fclose(stream);
  return text;
}

nncc_status nncc_file_write(const char *path, const nncc_file_tensor *tensors,
                            uint32_t count) {
  size_t length = 0, room = strlen(path) + 8;
  char *head = make_header(tensors, count, &length);
  char *temporary = malloc(room);
  if (!head || !temporary) {
    free(head);
    free(temporary);
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory to write %s", path);
  }
  snprintf(temporary, room, "%s.XXXXXX", path);
  int file = mkstemp(temporary);
  FILE *stream = file >= 0 ? fdopen(file, "wb") : NULL;
  bool good = stream != NULL;
  unsigned char size[8];
  for (int i = 0; i < 8; ++i)
    size[i] = (unsigned char)((uint64_t)length >> (8 * i));
  good = good && fwrite(size, 1, 8, stream) == 8 &&
         fwrite(head, 1, length, stream) == length;
  for (uint32_t i = 0; good && i < count; ++i)
    good = fwrite(tensors[i].data, 1, tensors[i].bytes, stream) ==
           tensors[i].bytes;
  good = good && !fflush(stream) && !fchmod(file, 0644) && !fsync(file);
  int error = errno;
  if (stream && fclose(stream) && good) {
    good = false;
    error = errno;
  }
  if (good && rename(temporary, path)) {
    good = false;
    error = errno;
  }
  if (!good && file >= 0)
    unlink(temporary);
  free(head);
  free(temporary);
  if (!good)
    return nncc_fail(NNCC_ERROR_IO, "cannot write %s: %s", path,
                     strerror(error));
  return NNCC_OK;
}
