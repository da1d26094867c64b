//===- Files.cpp - files that the verbs read and write --------------------===//
#include "Files.h"
#include "Talk.h"
#include "runtime/nncc.h"
#include "support/FileIO.h"
#include "llvm/ADT/STLExtras.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

namespace nncc {

/// No model or schedule is larger; embedded data would be in the weights.
static constexpr size_t mostText = size_t(1) << 30;

double machineMemory() {
  return double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGESIZE));
}

bool hasSuffix(const std::string &path, const std::string &suffix) {
  return path.size() > suffix.size() &&
         path.compare(path.size() - suffix.size(), suffix.size(), suffix) == 0;
}

std::string suffixOf(const std::string &path) {
  size_t name = path.rfind('/') + 1, dot = path.rfind('.');
  return dot == path.npos || dot <= name ? "" : path.substr(dot + 1);
}

static std::string shown(const std::string &path) {
  return path == "-" ? "stdin" : path;
}

int readText(const std::string &path, std::string &text) {
  std::string error;
  if (readWhole(path == "-" ? "/dev/stdin" : path, text, error, mostText))
    return exitDone;
  if (path == "-" && error.rfind("cannot read /dev/stdin", 0) == 0)
    error = "cannot read stdin" + error.substr(22);
  return fail(exitIo, error, shown(path));
}

/// YAML's and TOML's first lines, which JSON's parser would only call invalid.
static const char *otherText(const std::string &text) {
  size_t end = text.find('\n');
  std::string line = text.substr(0, end == text.npos ? text.size() : end);
  while (!line.empty() && isspace(static_cast<unsigned char>(line.back())))
    line.pop_back();
  size_t word = 0;
  auto inWord = [&](char c) {
    return isalnum(static_cast<unsigned char>(c)) || strchr("_-.\"", c);
  };
  while (word < line.size() && inWord(line[word]))
    ++word;
  if (line == "---" || line.rfind("%YAML", 0) == 0 || line.rfind("- ", 0) == 0)
    return "YAML";
  if (word && line[0] != '"' && word < line.size() && line[word] == ':' &&
      (word + 1 == line.size() || line[word + 1] == ' '))
    return "YAML";
  bool isTable = line.size() > 2 && line[0] == '[' && line.back() == ']' &&
                 isalpha(static_cast<unsigned char>(line[1]));
  if (isTable || (word && line.compare(word, 3, " = ") == 0))
    return "TOML";
  return nullptr;
}

int readJsonText(const std::string &path, const char *what, std::string &text) {
  Glance glance;
  if (path != "-")
    if (int code = glanceAt(path, glance))
      return code;
  if (glance.kind == FileKind::text) {
    if (int code = readText(path, text))
      return code;
    glance = glanceAtBytes(text);
  }
  auto refuse = [&](const std::string &is, const std::string &advice = "") {
    bool isOther = !strcmp(what, "a model") && hasSuffix(is, " model");
    return fail(exitRejected,
                shown(path) + " is " + is + ", not " + what +
                    (isOther ? " of nncc" : "") + advice,
                shown(path));
  };
  if (glance.says == "a PyTorch checkpoint" || glance.says == "a Python pickle")
    glance.advice = ": nncc.export(module, ...) writes models";
  if (glance.kind != FileKind::text)
    return refuse(glance.says, glance.advice);
  if (text.empty())
    return refuse("an empty file");
  if (const char *format = otherText(text))
    return fail(exitRejected,
                shown(path) + " looks like " + format + ", but " + what +
                    " is JSON",
                shown(path));
  return exitDone;
}

int writeFile(const std::string &path, const std::string &data) {
  std::string error;
  return writeAtomically(path, data, error) ? exitDone
                                            : fail(exitIo, error, path);
}

//===----------------------------------------------------------------------===//
// What files are
//===----------------------------------------------------------------------===//

Glance glanceAtBytes(const std::string &bytes) {
  auto starts = [&](const char *magic, size_t length) {
    return bytes.size() >= length && !memcmp(bytes.data(), magic, length);
  };
  const char *says = nncc_file_kind(bytes.data(), bytes.size());
  Glance glance;
  if (!says)
    return glance;
  glance.says = says;
  glance.advice = nncc_file_advice(says);
  glance.kind = FileKind::other;
  if (glance.says == "a safetensors file")
    glance.kind = FileKind::safetensors;
  else if (starts("\x93NUMPY", 6))
    glance.kind = FileKind::npy;
  else if (glance.says == "a NumPy .npz archive")
    glance.kind = FileKind::npz;
  else if (starts("!<arch>\n", 8) || glance.says == "an object file")
    glance.kind = FileKind::object;
  else if (glance.says == "binary data")
    glance.kind = FileKind::unknown;
  else if (glance.says == "a shared library")
    glance.kind = FileKind::shared;
  return glance;
}

static int cannotRead(const std::string &path, const char *why) {
  return fail(exitIo, "cannot read " + path + ": " + why, path);
}

int readStart(const std::string &path, size_t most, std::string &bytes,
              size_t &total) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info;
  ssize_t got = -1;
  bytes.assign(most, 0);
  if (file >= 0 && !fstat(file, &info))
    got = ::read(file, bytes.data(), bytes.size());
  int error = errno;
  if (file >= 0)
    close(file);
  if (got < 0)
    return cannotRead(path, strerror(error));
  bytes.resize(size_t(got));
  total = size_t(info.st_size);
  return exitDone;
}

int glanceAt(const std::string &path, Glance &glance) {
  struct stat info;
  if (stat(path.c_str(), &info))
    return cannotRead(path, strerror(errno));
  if (S_ISDIR(info.st_mode))
    return cannotRead(path, "it is a directory");
  if (!S_ISREG(info.st_mode)) // opening a pipe would take it from the reader
    return access(path.c_str(), R_OK) ? cannotRead(path, strerror(errno))
                                      : int(exitDone);
  std::string bytes;
  size_t total;
  if (int code = readStart(path, 4096, bytes, total))
    return code;
  glance = glanceAtBytes(bytes);
  return exitDone;
}

int refuseKind(const std::string &flag, const std::string &path, Glance glance,
               const std::string &what) {
  std::string text;
  if (glance.says.empty()) {
    if (int code = readText(path, text))
      return code;
    glance.says = text.empty() ? "an empty file" : "text";
    if (size_t at = text.find_first_not_of(" \t\r\n"); at != text.npos)
      if (text[at] == '{' || text[at] == '[')
        glance.says = "JSON text";
  }
  return fail(exitRejected,
              flag + " " + path + ": it is " + glance.says + ", not " + what +
                  glance.advice,
              path);
}

//===----------------------------------------------------------------------===//
// Paths of a call
//===----------------------------------------------------------------------===//

/// Equal for equal files, whether they are there or not.
static std::string identityOf(const std::string &path) {
  struct stat info;
  if (!stat(path.c_str(), &info))
    return std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
  std::error_code problem;
  return std::filesystem::weakly_canonical(
             std::filesystem::absolute(path, problem), problem)
      .string();
}

bool isDevice(const std::string &path) {
  struct stat info;
  return !stat(path.c_str(), &info) && !S_ISREG(info.st_mode);
}

int Paths::reads(const std::string &flag, const std::string &path) {
  if (path.empty())
    return exitDone;
  std::string identity = path == "-" ? path : identityOf(path);
  if (path == "-")
    for (const Known &known : read)
      if (known.identity == identity)
        return fail(exitUsage, known.flag + " and " + flag +
                                   " are both stdin, which can be read once");
  Glance glance;
  if (path != "-")
    if (int code = glanceAt(path, glance))
      return code;
  read.push_back({flag, identity});
  struct stat info;
  if (stat(path.c_str(), &info) || !S_ISREG(info.st_mode))
    return exitDone;
  if (double(info.st_size) > machineMemory())
    return fail(exitLimit,
                path + " has " + std::to_string(info.st_size) +
                    " bytes, more than this machine's memory",
                path);
  return exitDone;
}

int Paths::readsFile(const std::string &flag, const std::string &path) {
  if (path == "-")
    return fail(exitUsage, flag +
                               " -: stdin may be a model or other JSON, this "
                               "is read from a file");
  if (int code = reads(flag, path))
    return code;
  return !path.empty() && isDevice(path)
             ? cannotRead(path, "it is no regular file")
             : int(exitDone);
}

/// Suffixes that name a format, and its name.
static const struct {
  const char *suffix, *format;
} formats[] = {{"safetensors", "safetensors"},
               {"npy", "npy"},
               {"npz", "npz"},
               {"csv", "csv"},
               {"svg", "svg"},
               {"json", "JSON"},
               {"pt", "PyTorch"},
               {"pth", "PyTorch"},
               {"ckpt", "PyTorch"},
               {"pkl", "pickle"},
               {"bin", "PyTorch"},
               {"h5", "HDF5"},
               {"hdf5", "HDF5"},
               {"keras", "Keras"},
               {"onnx", "ONNX"},
               {"tflite", "TFLite"},
               {"gguf", "GGUF"},
               {"o", "object"},
               {"so", "shared library"},
               {"a", "archive"},
               {"h", "C header"},
               {"png", "PNG"},
               {"jpg", "JPEG"},
               {"html", "HTML"},
               {"pdf", "PDF"},
               {"txt", "text"},
               {"tsv", "TSV"},
               {"yaml", "YAML"},
               {"toml", "TOML"},
               {"zip", "zip"},
               {"gz", "gzip"},
               {"zst", "zstd"},
               {"xz", "xz"}};

int Paths::writes(const std::string &flag, const std::string &path,
                  const std::string &format) {
  if (path.empty())
    return exitDone;
  if (path == "-")
    return fail(exitUsage,
                flag + " -: a file is written, /dev/stdout is stdout");
  std::string suffix = suffixOf(path);
  for (char &c : suffix)
    c = char(tolower(static_cast<unsigned char>(c)));
  for (auto &known : formats)
    if (!format.empty() && suffix == known.suffix && format != known.format)
      return fail(exitUsage,
                  flag + " " + path + ": it is written as " + format +
                      ", not as " + known.format,
                  path);
  if (int code = checkWritable(path))
    return code;
  if (isDevice(path))
    return exitDone;
  std::string identity = identityOf(path);
  for (const Known &known : read)
    if (known.identity == identity)
      return fail(exitUsage,
                  flag + " " + path + " would overwrite " + known.flag, path);
  for (const Known &known : written)
    if (known.identity == identity)
      return fail(exitUsage,
                  known.flag + " and " + flag + " are one file, " + path, path);
  written.push_back({flag, identity});
  return exitDone;
}

int checkWritable(const std::string &path) {
  std::string error;
  return canWrite(path, error) ? exitDone : fail(exitIo, error, path);
}

} // namespace nncc
