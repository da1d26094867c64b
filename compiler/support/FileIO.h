//===- FileIO.h - whole files, atomically -----------------------*- C++ -*-===//
#ifndef NNCC_SUPPORT_FILEIO_H
#define NNCC_SUPPORT_FILEIO_H

#include <string>

namespace nncc {

/// Reads a regular file; false and a sentence in `error` if that fails.
bool readWhole(const std::string &path, std::string &text, std::string &error);

/// Writes a temporary file beside `path`, syncs and renames it, so that `path`
/// is never half-written. False and a sentence in `error` if that fails; then
/// nothing is left behind.
bool writeAtomically(const std::string &path, const std::string &data,
                     std::string &error);

} // namespace nncc
#endif // NNCC_SUPPORT_FILEIO_H
