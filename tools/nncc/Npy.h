//===- Npy.h - NumPy's .npy files -------------------------------*- C++ -*-===//
#ifndef NNCC_TOOLS_NPY_H
#define NNCC_TOOLS_NPY_H

#include "runtime/nncc.h"
#include <string>

namespace nncc {

struct HostTensor;

/// Reads an array into dtype, dims and data of `tensor`. Little-endian, C
/// order, versions 1 to 3; anything else is an error with a sentence.
bool parseNpy(const std::string &bytes, HostTensor &tensor, std::string &error);
/// The same of a file of `total` bytes that begins with `bytes`, but for its
/// data, which begin at `data`.
bool parseNpyHeader(const std::string &bytes, size_t total, HostTensor &tensor,
                    size_t &data, std::string &error);
/// The bytes of such a file.
std::string npyOf(const HostTensor &tensor);
bool hasNpyType(nncc_dtype dtype);

} // namespace nncc
#endif // NNCC_TOOLS_NPY_H
