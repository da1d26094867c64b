//===- Npy.cpp - NumPy's .npy files ---------------------------------------===//
//
// Format: NumPy Enhancement Proposal 1 (numpy.lib.format).
//
//===----------------------------------------------------------------------===//
#include "Npy.h"
#include "HostTensor.h"
#include <cstring>

namespace nncc {

/// NumPy's names; it has none for bf16.
static const struct {
  const char *name;
  nncc_dtype dtype;
} types[] = {{"'<f4'", NNCC_F32}, {"'<f8'", NNCC_F64}, {"'<f2'", NNCC_F16},
             {"'<i8'", NNCC_I64}, {"'<i4'", NNCC_I32}, {"'<i2'", NNCC_I16},
             {"'|i1'", NNCC_I8},  {"'|u1'", NNCC_U8},  {"'|b1'", NNCC_BOOL}};

/// The text behind 'key': in the header's dictionary.
static const char *valueOf(const std::string &header, const char *key) {
  size_t at = header.find(std::string("'") + key + "'");
  if (at == std::string::npos)
    return nullptr;
  at = header.find(':', at);
  return at == std::string::npos ? nullptr : header.c_str() + at + 1;
}

/// The type that the header names; false with a sentence for others.
static bool parseType(const char *descr, nncc_dtype &dtype,
                      std::string &error) {
  while (*descr == ' ')
    ++descr;
  for (auto [name, known] : types)
    if (!strncmp(descr, name, strlen(name))) {
      dtype = known;
      return true;
    }
  const char *end = *descr ? strchr(descr + 1, *descr) : nullptr;
  error = "the element type " +
          (end && end - descr < 30 ? std::string(descr, end + 1)
                                   : std::string("of a structured array")) +
          ", which nncc does not have";
  return false;
}

bool parseNpy(const std::string &bytes, HostTensor &tensor,
              std::string &error) {
  auto fail = [&](const char *text) {
    error = text;
    return false;
  };
  if (bytes.size() < 12 || bytes.compare(0, 6, "\x93NUMPY", 6) != 0)
    return fail("not a .npy file");
  auto byte = [&](size_t i) {
    return size_t(static_cast<unsigned char>(bytes[i]));
  };
  size_t start = byte(6) == 1 ? 10 : 12;
  size_t length = byte(8) | byte(9) << 8;
  if (start == 12)
    length |= byte(10) << 16 | byte(11) << 24;
  if (byte(6) < 1 || byte(6) > 3 || length > bytes.size() - start)
    return fail("a malformed .npy header");
  std::string header = bytes.substr(start, length);
  const char *descr = valueOf(header, "descr");
  const char *order = valueOf(header, "fortran_order");
  const char *shape = valueOf(header, "shape");
  if (!descr || !order || !shape)
    return fail("a malformed .npy header");
  while (*order == ' ')
    ++order;
  if (strncmp(order, "False", 5) != 0)
    return fail("the array is in Fortran order: save numpy.ascontiguousarray");
  if (!parseType(descr, tensor.dtype, error))
    return false;
  tensor.dims.clear();
  size_t count = nncc_dtype_bytes(tensor.dtype);
  shape += strspn(shape, " (");
  while (*shape && *shape != ')') {
    char *end;
    long long size = strtoll(shape, &end, 10);
    if (end == shape || size < 0 ||
        (size && count > (size_t(1) << 40) / size_t(size)))
      return fail("a malformed .npy shape");
    count *= size_t(size);
    tensor.dims.push_back(size);
    shape = end + strspn(end, " ,");
  }
  if (bytes.size() - start - length != count)
    return fail(bytes.size() - start - length < count
                    ? "it is truncated: the file is shorter than its shape"
                    : "the file is longer than its shape");
  tensor.data.assign(bytes.begin() + long(start + length), bytes.end());
  return true;
}

std::string npyOf(const HostTensor &tensor) {
  std::string header = "{'descr': ";
  for (auto [name, dtype] : types)
    if (dtype == tensor.dtype)
      header += name;
  header += ", 'fortran_order': False, 'shape': (";
  for (int64_t size : tensor.dims)
    header += std::to_string(size) + ", ";
  if (tensor.dims.size() > 1)
    header.resize(header.size() - 2);
  header += "), }";
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string bytes("\x93NUMPY\1\0", 8);
  bytes += char(header.size() & 255);
  bytes += char(header.size() >> 8);
  return bytes + header + std::string(tensor.data.data(), tensor.data.size());
}

bool hasNpyType(nncc_dtype dtype) { return dtype != NNCC_BF16; }

} // namespace nncc
