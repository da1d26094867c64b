/* numbers.c - inputs and expected results.
 *
 * Most values lie in the file as they are. A weight of many elements is
 * computed from a seed, so that the file stays small; of a result of many
 * elements the file has some, evenly spread, and a sum over the bits of all.
 * Metadata says so: "fill.NAME" is "SEED SCALE", "digest.NAME" is
 * "STRIDE SUM". pack.py does the same.
 */
#include "device.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static nncc_file *file;

void open_numbers(const char *path) {
  if (!nncc_file_map(path, &file))
    return;
  fprintf(stderr, "%s\n", nncc_last_error());
  exit(2);
}

/* splitmix64 */
static uint64_t mixed(uint64_t x) {
  x += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

static const nncc_file_tensor *find(const char *key) {
  for (uint32_t i = 0; i < nncc_file_count(file); ++i)
    if (!strcmp(nncc_file_get(file, i)->name, key))
      return nncc_file_get(file, i);
  return NULL;
}

static void name_key(char *key, size_t bytes, const char *of, char what,
                     const char *name) {
  snprintf(key, bytes, "%s.%c.%s", of, what, name);
}

static const char *metadata(const char *kind, const char *key) {
  char name[600];
  snprintf(name, sizeof name, "%s.%s", kind, key);
  return nncc_file_metadata(file, name);
}

void *take_number(const char *of, char what, const nncc_tensor *tensor) {
  char key[512];
  name_key(key, sizeof key, of, what, tensor->name);
  const char *rule = metadata("fill", key);
  const nncc_file_tensor *found = rule ? NULL : find(key);
  if (!rule && (!found || found->bytes != tensor->bytes))
    return NULL;
  void *data = malloc(tensor->bytes ? tensor->bytes : 1);
  if (!data || !rule)
    return data ? memcpy(data, found->data, tensor->bytes) : data;
  char *end;
  uint64_t seed = strtoull(rule, &end, 10) << 32;
  float scale = strtof(end, NULL), *to = data;
  for (uint64_t i = 0; i < tensor->bytes / sizeof(float); ++i)
    to[i] = ((float)(mixed(seed + i) >> 40) * 0x1p-24f - 0.5f) * scale;
  return data;
}

/* The bits of an element; those of any NaN are alike. */
static uint64_t bits_of(nncc_dtype dtype, const char *data, uint64_t i) {
  size_t bytes = nncc_dtype_bytes(dtype);
  uint64_t bits = 0, sign, infinity;
  memcpy(&bits, data + i * bytes, bytes);
  switch (dtype) {
  case NNCC_F64:
    infinity = UINT64_C(0x7ff) << 52;
    break;
  case NNCC_F32:
    infinity = UINT64_C(0xff) << 23;
    break;
  case NNCC_F16:
    infinity = 0x1f << 10;
    break;
  case NNCC_BF16:
    infinity = 0xff << 7;
    break;
  default:
    return bits;
  }
  sign = UINT64_C(1) << (8 * bytes - 1);
  return (bits & ~sign) > infinity ? infinity + 1 : bits;
}

static double value_of(nncc_dtype dtype, uint64_t bits) {
  double number;
  float single;
  uint32_t low = (uint32_t)bits;
  switch (dtype) {
  case NNCC_F64:
    memcpy(&number, &bits, sizeof number);
    return number;
  case NNCC_F16: {
    double part = (double)(bits & 0x3ff);
    int exponent = (int)(bits >> 10 & 0x1f);
    number = exponent == 31 ? (bits & 0x3ff ? NAN : INFINITY)
             : exponent     ? ldexp(part + 1024, exponent - 25)
                            : ldexp(part, -24);
    return bits >> 15 ? -number : number;
  }
  case NNCC_BF16:
    low <<= 16;
    /* fall through */
  case NNCC_F32:
    memcpy(&single, &low, sizeof single);
    return (double)single;
  default:
    return (double)(int64_t)bits;
  }
}

/* "c7_y0", "grad.c7_0" and "c7.weight" as "nn.Linear-3 y0" and so on. */
static void label(const device_case *of, char what, const char *name,
                  char *text, size_t bytes) {
  bool is_gradient = !strncmp(name, "grad.", 5);
  const char *rest = name + (is_gradient ? 5 : 0);
  char *end = NULL;
  long number = *rest == 'c' ? strtol(rest + 1, &end, 10) : 0;
  if (of->labels && end && end > rest + 1 && *end)
    snprintf(text, bytes, "%s %s%s", of->labels[number],
             is_gradient ? "grad." : "", end + 1);
  else
    snprintf(text, bytes, "%s%s", what == 's' ? "state " : "", name);
}

/* How two tensors differ. */
typedef struct difference {
  uint64_t count, of, first, got, want;
  double relative; /* the largest distance, of the larger one */
} difference;

static void look(difference *d, nncc_dtype dtype, uint64_t i, uint64_t got,
                 uint64_t want) {
  ++d->of;
  if (got == want)
    return;
  double x = value_of(dtype, got), y = value_of(dtype, want);
  double scale = fmax(fabs(x), fabs(y)),
         distance = scale > 0 ? fabs(x - y) / scale : 0;
  if (!(distance <= 2)) /* of infinities and NaN */
    distance = 2;
  d->relative = fmax(d->relative, distance);
  if (d->count++)
    return;
  d->first = i;
  d->got = got;
  d->want = want;
}

int compare_number(const device_case *of, char what, const nncc_tensor *tensor,
                   const void *got, FILE *out, FILE *text) {
  char key[512], name[512];
  name_key(key, sizeof key, of->name, what, tensor->name);
  const nncc_file_tensor *want = find(key);
  if (!want || want->dtype != tensor->dtype)
    return -1;
  nncc_dtype dtype = (nncc_dtype)tensor->dtype;
  uint64_t size = nncc_dtype_bytes(dtype), all = tensor->bytes / size,
           stride = 1, sum = 0, expected = 0;
  const char *rule = metadata("digest", key);
  if (rule)
    sscanf(rule, "%" SCNu64 " %" SCNu64, &stride, &expected);
  if (want->bytes / size != (all + stride - 1) / stride)
    return -1;
  difference d = {0};
  for (uint64_t i = 0; i < all; i += stride)
    look(&d, dtype, i, bits_of(dtype, got, i),
         bits_of(dtype, want->data, i / stride));
  for (uint64_t i = 0; rule && i < all; ++i)
    sum += mixed(bits_of(dtype, got, i) ^ mixed(i));
  bool is_same = !d.count && sum == expected;
  if (is_same)
    return 0;
  label(of, what, tensor->name, name, sizeof name);
  fprintf(out,
          "{\"tensor\": \"%s\", \"unlike\": %" PRIu64 ", \"of\": %" PRIu64
          ", \"relative\": %.3g}",
          name, d.count, d.of, d.relative);
  if (d.count)
    fprintf(text,
            "  %s %s: %" PRIu64 " of %" PRIu64 " differ, by at most %.3g of "
            "the value; [%" PRIu64 "] is 0x%" PRIx64 " (%.9g), not 0x%" PRIx64
            " (%.9g)\n",
            of->name, name, d.count, d.of, d.relative, d.first, d.got,
            value_of(dtype, d.got), d.want, value_of(dtype, d.want));
  else
    fprintf(text,
            "  %s %s: the sum over all differs, none of %" PRIu64
            " looked at\n",
            of->name, name, d.of);
  return 1;
}
