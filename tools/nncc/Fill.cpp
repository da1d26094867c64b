//===- Fill.cpp - values of tensors ---------------------------------------===//
#include "Fill.h"
#include "Talk.h"
#include "support/Diagnostics.h"
#include <charconv>
#include <cmath>
#include <cstring>
#include <random>

namespace nncc {

void randomize(HostTensor &tensor, bool isNormal, uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> gauss;
  std::uniform_real_distribution<double> uniform(0, 1);
  for (size_t i = 0; i < tensor.count(); ++i) {
    double value = isNormal ? gauss(engine) : uniform(engine);
    setElement(tensor, i, isFloat(tensor.dtype) ? value : engine() & 1);
  }
}

void randomizeState(HostTensor &tensor, uint64_t seed) {
  if (!isFloat(tensor.dtype))
    return;
  bool isMatrix = tensor.dims.size() >= 2;
  double inputs = 1;
  for (size_t d = 1; d < tensor.dims.size(); ++d)
    inputs *= double(tensor.dims[d]);
  randomize(tensor, isMatrix, seed);
  for (size_t i = 0; i < tensor.count(); ++i) {
    double value = elementAt(tensor.data.data(), tensor.dtype, i);
    setElement(tensor, i,
               isMatrix ? value / std::sqrt(std::max(inputs, 1.0))
                        : value + 0.5);
  }
}

/// The range of an integer type, as doubles that bound it.
static void rangeOf(nncc_dtype dtype, double &least, double &most) {
  int bits = int(8 * nncc_dtype_bytes(dtype));
  bool isSigned = dtype != NNCC_U8 && dtype != NNCC_BOOL;
  least = isSigned ? -std::ldexp(1, bits - 1) : 0;
  most = dtype == NNCC_BOOL ? 1 : std::ldexp(1, isSigned ? bits - 1 : bits) - 1;
}

/// "i8 holds whole numbers from -128 to 127".
static std::string holds(nncc_dtype dtype) {
  std::string text = nncc_dtype_name(dtype);
  if (dtype == NNCC_BOOL)
    return text + " holds 0, 1, false and true";
  if (dtype == NNCC_I64)
    return text + " holds whole numbers from -9223372036854775808 to "
                  "9223372036854775807";
  if (isFloat(dtype)) {
    const char *most = dtype == NNCC_F16   ? "65504"
                       : dtype == NNCC_F64 ? "1.8e308"
                                           : "3.4e38";
    return text + " holds numbers up to " + most + ", inf, -inf and nan";
  }
  double least, most;
  rangeOf(dtype, least, most);
  return text + " holds whole numbers from " + std::to_string(int64_t(least)) +
         " to " + std::to_string(int64_t(most));
}

/// Rounds a number to the element; false if it became infinite by that.
static bool setFloat(HostTensor &tensor, size_t i, double value) {
  setElement(tensor, i, value);
  return !std::isfinite(value) ||
         std::isfinite(elementAt(tensor.data.data(), tensor.dtype, i));
}

/// Takes a typed number exactly: an i64 does not pass through double.
static bool setTyped(HostTensor &tensor, size_t i, const std::string &text) {
  if (text == "true" || text == "false") {
    setElement(tensor, i, text == "true");
    return true;
  }
  const char *end = text.data() + text.size();
  if (isFloat(tensor.dtype)) {
    double value = strtod(text.c_str(), nullptr);
    bool isWord = text.find_first_of("nN") != text.npos; // inf, nan
    return (isWord || std::isfinite(value)) && setFloat(tensor, i, value);
  }
  int64_t value;
  auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc() || stop != end)
    return false;
  if (tensor.dtype == NNCC_I64) {
    memcpy(tensor.data.data() + 8 * i, &value, 8);
    return true;
  }
  double least, most;
  rangeOf(tensor.dtype, least, most);
  if (double(value) < least || double(value) > most)
    return false;
  setElement(tensor, i, double(value));
  return true;
}

bool fillAs(HostTensor &tensor, const InputSpec &spec, std::string &error) {
  if (spec.kind == InputSpec::normal || spec.kind == InputSpec::uniform) {
    randomize(tensor, spec.kind == InputSpec::normal, spec.seed);
    return true;
  }
  bool isList = spec.kind == InputSpec::list;
  bool isFlat = spec.shape.size() == 1;
  if (isList && (isFlat ? spec.numbers.size() != tensor.count()
                        : spec.shape != tensor.dims)) {
    error = "a list of shape " + shapeText(spec.shape) + " for a tensor " +
            shapeText(tensor.dims);
    return false;
  }
  for (size_t i = 0; i < tensor.count(); ++i) {
    const std::string &number = spec.numbers[isList ? i : 0];
    if (setTyped(tensor, i, number))
      continue;
    error = number + " is no value of this input: " + holds(tensor.dtype);
    return false;
  }
  return true;
}

bool convertTo(HostTensor &tensor, nncc_dtype dtype, std::string &error) {
  HostTensor to{tensor.name, dtype, tensor.dims, {}};
  to.data.resize(tensor.count() * nncc_dtype_bytes(dtype));
  double least, most;
  rangeOf(dtype, least, most);
  bool isWide = tensor.dtype == NNCC_I64 && !isFloat(dtype);
  for (size_t i = 0; i < tensor.count(); ++i) {
    double value = elementAt(tensor.data.data(), tensor.dtype, i);
    bool fits = isFloat(dtype) ||
                (value == std::trunc(value) && value >= least && value <= most);
    // 2^63 is what the largest i64 rounds to, and no i64 itself.
    if (fits && dtype == NNCC_I64 && !isWide && value >= 0x1p63)
      fits = false;
    if (!fits || !(isFloat(dtype) ? setFloat(to, i, value)
                                  : (setElement(to, i, value), true))) {
      error = "element " + std::to_string(i) + " is " + exactText(value) +
              ": " + holds(dtype);
      return false;
    }
  }
  tensor = std::move(to);
  return true;
}

} // namespace nncc
