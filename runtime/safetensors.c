/* safetensors.c - a strict reader.
 *
 * Format: 8 bytes little-endian header length, a JSON header, data. The reader
 * accepts exactly that: known dtypes, sizes that agree, data without holes or
 * overlaps. Files of other kinds get a sentence that says what they are.
 */
#include "internal.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { max_rank = 8, max_header = 100 << 20 };

static const struct {
  const char *name;
  nncc_dtype dtype;
} dtypes[] = {{"F32", NNCC_F32},   {"F64", NNCC_F64}, {"F16", NNCC_F16},
              {"BF16", NNCC_BF16}, {"I64", NNCC_I64}, {"I32", NNCC_I32},
              {"I16", NNCC_I16},   {"I8", NNCC_I8},   {"U8", NNCC_U8},
              {"BOOL", NNCC_BOOL}};

typedef struct reader {
  const char *start, *at, *end;
  const char *tensor; /* whose entry is read */
  char problem[400];  /* the first one */
} reader;

/* Sets the problem, and where it is, unless there is one. */
__attribute__((format(printf, 2, 3))) static bool
stop(reader *r, const char *format, ...) {
  if (r->problem[0])
    return false;
  int used = r->tensor ? snprintf(r->problem, sizeof r->problem,
                                  "tensor \"%.200s\": ", r->tensor)
                       : 0;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(r->problem + used, sizeof r->problem - (size_t)used, format,
            arguments);
  va_end(arguments);
  return false;
}

/* What is no JSON, or another JSON than a header is. */
static bool stop_here(reader *r, const char *problem) {
  return stop(r, "%s, at byte %zu of the header", problem,
              (size_t)(r->at - r->start));
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
  return take(r, c) ||
         stop_here(r, "the header is not the JSON that it should be");
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
      return stop_here(r, "a bad escape");
    code = code * 16 + (unsigned)hex(*r->at);
  }
  if (code == 0 || (code >= 0xd800 && code < 0xe000))
    return stop_here(r, "a bad escape");
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
    stop(r, "the header ends inside a string that begins at its byte %zu",
         (size_t)(r->at - r->start));
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
      stop_here(r, "a control character in a string");
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
      stop_here(r, "a bad escape");
      break;
    }
  }
  if (r->problem[0]) {
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
      return stop_here(r, "a number is too large");
    v = v * 10 + (*r->at++ - '0');
  }
  *value = v;
  return r->at > start ||
         stop_here(r, "a whole number that is at least 0 is missing");
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
      return stop(r, "a list of more than %u numbers", most);
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
      good = has_dtype ||
             (name && stop(r, "nncc has no element type %.20s", name));
      free(name);
    } else if (good && !strcmp(key, "shape") && !has_shape) {
      good = has_shape = integers(r, dims, max_rank, &t->rank);
    } else if (good && !strcmp(key, "data_offsets") && !has_offsets) {
      good = has_offsets = integers(r, offsets, 2, &count) && count == 2;
    } else if (good) {
      good = stop(r, "an unknown or repeated key \"%.40s\"", key);
    }
    free(key);
    if (!good)
      return stop(r, "its entry is malformed");
  } while (take(r, ','));
  if (!need(r, '}') || !has_dtype || !has_shape || !has_offsets)
    return stop(r, "it needs dtype, shape and data_offsets");
  int64_t *copy = malloc((t->rank + 1) * sizeof(int64_t));
  if (!copy)
    return stop(r, "no memory");
  memcpy(copy, dims, t->rank * sizeof(int64_t));
  t->dims = copy;
  return true;
}

/* Takes over both texts. */
static bool add_metadata(reader *r, nncc_file *file, char *key, char *value) {
  if (file->metadata_count == file->metadata_capacity) {
    uint32_t capacity = 2 * file->metadata_capacity + 8;
    void *grown = realloc(file->metadata, capacity * sizeof *file->metadata);
    if (!grown) {
      free(key);
      free(value);
      return stop(r, "no memory");
    }
    file->metadata = grown;
    file->metadata_capacity = capacity;
  }
  file->metadata[file->metadata_count++] = (nncc_metadata){key, value};
  return true;
}

static bool metadata(reader *r, nncc_file *file) {
  if (!need(r, '{'))
    return false;
  if (take(r, '}'))
    return true;
  do {
    char *key = string(r);
    char *value = key && need(r, ':') ? string(r) : NULL;
    if (!value) {
      free(key);
      return stop(r, "__metadata__ is malformed");
    }
    if (!add_metadata(r, file, key, value))
      return false;
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
      good = stop(r, "its size overflows");
    size *= (uint64_t)t.dims[d];
  }
  if (good && offsets[1] < offsets[0])
    good = stop(r, "its data end at %" PRId64 ", before they begin at %" PRId64,
                offsets[1], offsets[0]);
  if (good && (uint64_t)offsets[1] > bytes)
    good = stop(r,
                "the file is truncated: it ends %" PRIu64
                " bytes before the tensor's data do",
                (uint64_t)offsets[1] - bytes);
  if (good && (uint64_t)(offsets[1] - offsets[0]) != size)
    good = stop(r, "its data have %" PRId64 " bytes, its shape needs %" PRIu64,
                offsets[1] - offsets[0], size);
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
      bool is_metadata = !strcmp(name, "__metadata__");
      r->tensor = is_metadata ? NULL : name;
      bool good = is_metadata ? metadata(r, file)
                              : add_tensor(r, file, name, data, bytes);
      r->tensor = NULL;
      if (is_metadata || !good)
        free(name);
      if (!good)
        return false;
    } while (take(r, ','));
  if (!need(r, '}'))
    return false;
  skip(r);
  return r->at == r->end || stop_here(r, "text behind the JSON");
}

static int by_name(const void *x, const void *y) {
  const nncc_file_tensor *a = x, *b = y;
  return strcmp(a->name, b->name);
}

static bool names_differ(reader *r, nncc_file *file) {
  qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
  for (uint32_t i = 1; i < file->count; ++i)
    if (!strcmp(file->tensors[i - 1].name, file->tensors[i].name))
      return stop(r, "tensor \"%.200s\" stands twice in the header",
                  file->tensors[i].name);
  return true;
}

static int by_offset(const void *x, const void *y) {
  const nncc_file_tensor *a = x, *b = y;
  if (a->data != b->data)
    return a->data < b->data ? -1 : 1;
  return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

/* Data must cover the rest of the file exactly. */
static bool covers(reader *r, nncc_file *file, const char *data,
                   uint64_t bytes) {
  qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
  const char *next = data;
  for (uint32_t i = 0; i < file->count; ++i) {
    const nncc_file_tensor *t = &file->tensors[i];
    if ((const char *)t->data < next)
      return stop(r, "the data of tensors \"%.150s\" and \"%.150s\" overlap",
                  t[-1].name, t->name);
    if ((const char *)t->data > next)
      return stop(r, "a hole of %zu bytes before the data of tensor \"%.200s\"",
                  (size_t)((const char *)t->data - next), t->name);
    next += t->bytes;
  }
  return next == data + bytes ||
         stop(r, "%zu bytes behind the data of its tensors",
              (size_t)(data + bytes - next));
}

/* Every byte of the header belongs to a character. */
static bool is_utf8(reader *r) {
  for (const char *at = r->start; at < r->end;) {
    size_t length = nncc_utf8_length(at, (size_t)(r->end - at));
    if (!length) {
      r->at = at;
      return stop_here(r, "a byte that is no UTF-8");
    }
    at += length;
  }
  return true;
}

nncc_status nncc_file_parse(const void *memory, size_t bytes, const char *name,
                            nncc_file **result) {
  if ((!memory && bytes) || !name || !result)
    return nncc_fail(NNCC_ERROR_ARGUMENT, "an argument is null");
  const char *data = memory;
  const char *kind = nncc_file_kind(data, bytes);
  if (!bytes)
    return nncc_fail(NNCC_ERROR_FORMAT, "%s is an empty file", name);
  if (kind && strcmp(kind, "a safetensors file") && strcmp(kind, "binary data"))
    return nncc_fail(NNCC_ERROR_FORMAT, "%s is %s, not a safetensors file%s",
                     name, kind, nncc_file_advice(kind));
  if (!kind && nncc_is_text(data, bytes))
    return nncc_fail(NNCC_ERROR_FORMAT, "%s is text, not a safetensors file",
                     name);
  if (bytes < 8)
    return nncc_fail(
        NNCC_ERROR_FORMAT,
        "%s is truncated or no safetensors file: it has %zu bytes, "
        "the length of its header needs 8",
        name, bytes);
  uint64_t length = 0;
  for (size_t i = 0; i < 8; ++i)
    length |= (uint64_t)(unsigned char)data[i] << (8 * i);
  if (length > bytes - 8)
    return nncc_fail(NNCC_ERROR_FORMAT,
                     "%s is truncated or no safetensors file: its header would "
                     "need %" PRIu64 " bytes, the file has %zu",
                     name, length, bytes);
  if (length > max_header)
    return nncc_fail(NNCC_ERROR_FORMAT,
                     "%s: a header of %" PRIu64 " bytes, at most %d are read",
                     name, length, max_header);
  nncc_file *file = calloc(1, sizeof *file);
  if (!file)
    return nncc_fail(NNCC_ERROR_MEMORY, "no memory to read %s", name);
  reader r = {data + 8, data + 8, data + 8 + length, NULL, ""};
  const char *payload = data + 8 + length;
  uint64_t rest = bytes - 8 - length;
  if (!is_utf8(&r) || !header(&r, file, payload, rest) ||
      !names_differ(&r, file) || !covers(&r, file, payload, rest)) {
    nncc_file_free(file);
    return nncc_fail(NNCC_ERROR_FORMAT, "%s: %s", name, r.problem);
  }
  *result = file;
  return NNCC_OK;
}
