/* safetensors.c - a strict reader.
 *
 * Format: 8 bytes little-endian header length, a JSON header, data. The reader
 * accepts exactly that: known dtypes, sizes that agree, data without holes or
 * overlaps. Files of other kinds get a sentence that says what they are.
 */
#include "internal.h"
#include <inttypes.h>
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
      good = stop(r, "a tensor's size overflows");
    size *= (uint64_t)t.dims[d];
  }
  if (good && (offsets[1] < offsets[0] || (uint64_t)offsets[1] > bytes))
    good =
        stop(r, "the file is truncated: a tensor's data lies behind its end");
  if (good && (uint64_t)(offsets[1] - offsets[0]) != size)
    good = stop(r, "a tensor's data and shape differ in size");
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
        if (!metadata(r, file))
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

static int by_name(const void *x, const void *y) {
  const nncc_file_tensor *a = x, *b = y;
  return strcmp(a->name, b->name);
}

static bool names_differ(nncc_file *file) {
  qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
  for (uint32_t i = 1; i < file->count; ++i)
    if (!strcmp(file->tensors[i - 1].name, file->tensors[i].name))
      return false;
  return true;
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

/* A sentence about a file of another kind; how to get the right one. */
static nncc_status refuse_kind(const char *name, const char *kind) {
  static const struct {
    const char *kind, *advice;
  } advices[] = {
      {"a git-lfs pointer", ", not the file itself: run git lfs pull"},
      {"an HTML page", ": the download failed"},
      {"a PyTorch checkpoint",
       ": save with safetensors.torch.save_file(module.state_dict(), ...)"},
      {"a Python pickle", ": save with safetensors.torch.save_file"},
      {"a zip archive",
       " (PyTorch .pt?): save with safetensors.torch.save_file"}};
  const char *advice = ", not a safetensors file";
  for (size_t i = 0; i < sizeof advices / sizeof advices[0]; ++i)
    if (!strcmp(advices[i].kind, kind))
      advice = advices[i].advice;
  return nncc_fail(NNCC_ERROR_FORMAT, "%s is %s%s", name, kind, advice);
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
    return refuse_kind(name, kind);
  if (!kind && nncc_is_text(data, bytes))
    return nncc_fail(NNCC_ERROR_FORMAT, "%s is text, not a safetensors file",
                     name);
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
  if (good && !names_differ(file))
    good = stop(&r, "a tensor stands twice in the header");
  if (good && !covers(file, payload, rest))
    good = stop(&r, "its data has holes, overlaps or something behind it");
  if (!good) {
    nncc_file_free(file);
    return nncc_fail(NNCC_ERROR_FORMAT, "%s: %s", name, r.problem);
  }
  *result = file;
  return NNCC_OK;
}
