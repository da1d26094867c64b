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
  std::string name = end && end - descr < 30 ? std::string(descr, end + 1)
                                             : "of a structured array";
  error = "the element type " + name + ", which nncc does not have";
  if (name.size() > 2 && name[0] == '\'' && strchr("fiu", name[2]))
    error += std::string(": save it as .astype('") +
             (name[2] == 'f' ? "float32" : "int64") + "')";
  return false;
}

/// "(2, 3)" to dims; false if it is none or needs more than 2^40 bytes.
static bool parseShape(const char *text, HostTensor &tensor, size_t &bytes) {
  tensor.dims.clear();
  bytes = nncc_dtype_bytes(tensor.dtype);
  text += strspn(text, " (");
  while (*text && *text != ')') {
    char *end;
    long long size = strtoll(text, &end, 10);
    if (end == text || size < 0 ||
        (size && bytes > (size_t(1) << 40) / size_t(size)))
      return false;
    bytes *= size_t(size);
    tensor.dims.push_back(size);
    text = end + strspn(end, " ,");
  }
  return true;
}

bool parseNpyHeader(const std::string &bytes, size_t total, HostTensor &tensor,
                    size_t &data, std::string &error) {
  auto fail = [&](const std::string &text) {
    error = text;
    return false;
  };
  if (bytes.compare(0, 6, "\x93NUMPY", 6) != 0)
    return fail("not a .npy file");
  if (bytes.size() < 12)
    return fail("it is truncated inside its header");
  auto byte = [&](size_t i) {
    return size_t(static_cast<unsigned char>(bytes[i]));
  };
  size_t start = byte(6) == 1 ? 10 : 12;
  size_t length = byte(8) | byte(9) << 8;
  if (start == 12)
    length |= byte(10) << 16 | byte(11) << 24;
  if (byte(6) < 1 || byte(6) > 3)
    return fail("version " + std::to_string(byte(6)) +
                " of the .npy format, nncc reads 1 to 3");
  if (length > bytes.size() - start)
    return fail("it is truncated inside its header");
  data = start + length;
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
  size_t needed;
  if (!parseShape(shape, tensor, needed))
    return fail("a malformed .npy shape");
  if (total - data != needed)
    return fail(total - data < needed
                    ? "it is truncated: the file is shorter than its shape"
                    : "the file is longer than its shape");
  return true;
}

bool parseNpy(const std::string &bytes, HostTensor &tensor,
              std::string &error) {
  size_t data;
  if (!parseNpyHeader(bytes, bytes.size(), tensor, data, error))
    return false;
  tensor.data.assign(bytes.begin() + long(data), bytes.end());
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
