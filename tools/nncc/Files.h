//===- Files.h - files that the verbs read and write ------------*- C++ -*-===//
//
// Everything is looked at before work starts: that what is read is there, is
// what it should be and fits the memory, that what is written can be, and that
// no two paths are one file.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_FILES_H
#define NNCC_TOOLS_FILES_H

#include <string>
#include <vector>

namespace nncc {

/// Bytes of this machine's memory.
double machineMemory();
bool hasSuffix(const std::string &path, const std::string &suffix);
/// The part behind the last dot of the file's name, "" if there is none.
std::string suffixOf(const std::string &path);

/// Reads a whole file, "-" is stdin; a sentence and an exit code if that fails.
int readText(const std::string &path, std::string &text);
/// The same for a model or another JSON file: files of other tools get a
/// sentence that says what they are.
int readJsonText(const std::string &path, const char *what, std::string &text);
/// Writes atomically; an exit code and a sentence if that fails.
int writeFile(const std::string &path, const std::string &data);

/// What a file is by its first bytes.
enum class FileKind {
  text,
  safetensors,
  npy,
  npz,
  shared,  // an ELF shared library
  object,  // an ELF object or an archive of them
  other,   // something else that `says` names
  unknown, // binary data
};
struct Glance {
  FileKind kind = FileKind::text;
  std::string says;   // "a PNG image"
  std::string advice; // ": unpack it first", or ""
};
/// An exit code and a sentence if the file cannot be read. Of what is no
/// regular file, and can be read only once, nothing is known: text.
int glanceAt(const std::string &path, Glance &glance);
Glance glanceAtBytes(const std::string &bytes);
/// At most `most` bytes of the beginning of a regular file of `total`; an exit
/// code and a sentence if it cannot be read.
int readStart(const std::string &path, size_t most, std::string &bytes,
              size_t &total);
/// Says what the file of `flag` is, which is not `what`.
int refuseKind(const std::string &flag, const std::string &path, Glance glance,
               const std::string &what);

/// The paths of one call.
class Paths {
public:
  /// A file that is read: it is there and is no directory, and its memory can
  /// be had; or stdin, once. Empty paths are skipped here and below.
  int reads(const std::string &flag, const std::string &path);
  /// The same for what stdin cannot be: a regular file.
  int readsFile(const std::string &flag, const std::string &path);
  /// A file that is written: a temporary file can be made beside it, and it is
  /// none of the others. Its suffix, if it has one that means another format,
  /// is refused; `format` is "safetensors", "csv", "svg", ...
  int writes(const std::string &flag, const std::string &path,
             const std::string &format);

private:
  struct Known {
    std::string flag, identity;
  };
  std::vector<Known> read, written;
};

/// A sentence and an exit code if a file cannot be written at `path`.
/// Something that is there and no regular file: it is written directly.
bool isDevice(const std::string &path);
int checkWritable(const std::string &path);

} // namespace nncc
#endif // NNCC_TOOLS_FILES_H
