//===- FileIO.h - whole files, atomically -----------------------*- C++ -*-===//
#ifndef NNCC_SUPPORT_FILEIO_H
#define NNCC_SUPPORT_FILEIO_H

#include <cstddef>
#include <string>

namespace nncc {

/// Reads a file of at most `most` bytes; false and a sentence in `error` if
/// that fails.
bool readWhole(const std::string &path, std::string &text, std::string &error,
               size_t most = size_t(1) << 40);

/// Writes a temporary file beside `path`, syncs and renames it, so that `path`
/// is never half-written; its mode is the umask's. What is no regular file (a
/// pipe, /dev/null) is written directly. False and a sentence in `error` if
/// that fails; then nothing is left behind.
bool writeAtomically(const std::string &path, const std::string &data,
                     std::string &error);

/// Where a symbolic link points, also if nothing is there yet: what is written
/// goes there, so that the link stays. The path itself if it is none.
std::string linkTarget(std::string path);

/// Whether writeAtomically could write there, by making such a temporary file;
/// false and the same sentence in `error` if not.
bool canWrite(const std::string &path, std::string &error);

} // namespace nncc
#endif // NNCC_SUPPORT_FILEIO_H
