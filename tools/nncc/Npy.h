//===- Npy.h - NumPy's .npy files -------------------------------*- C++ -*-===//
#ifndef NNCC_TOOLS_NPY_H
#define NNCC_TOOLS_NPY_H

#include <cstddef>
#include <string>

namespace nncc {

struct HostTensor;

/// Reads an array into dtype, dims and data of `tensor`. Little-endian, C
/// order, versions 1 to 3; anything else is an error with a sentence.
bool readNpy(const std::string &path, HostTensor &tensor, std::string &error);
bool parseNpy(const std::string &bytes, HostTensor &tensor, std::string &error);

} // namespace nncc
#endif // NNCC_TOOLS_NPY_H
