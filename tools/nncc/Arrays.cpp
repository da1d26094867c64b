//===- Arrays.cpp - files of named arrays ---------------------------------===//
#include "Arrays.h"
#include "Npy.h"
#include "Session.h"
#include "Talk.h"
#include "support/FileIO.h"
#include "llvm/ADT/StringRef.h"
#include <cstring>
#include <zip.h>

namespace nncc {

bool isArrays(const std::string &path, FileKind kind) {
  return kind == FileKind::npy || kind == FileKind::npz ||
         kind == FileKind::safetensors ||
         (kind == FileKind::unknown && hasSuffix(path, ".safetensors"));
}

static int readSafetensors(const std::string &path,
                           std::vector<HostTensor> &arrays) {
  nncc_file *file;
  if (int code = reportRuntime(nncc_file_read(path.c_str(), &file)))
    return code;
  for (uint32_t i = 0; i < nncc_file_count(file); ++i) {
    const nncc_file_tensor *t = nncc_file_get(file, i);
    const char *data = static_cast<const char *>(t->data);
    arrays.push_back({t->name, t->dtype,
                      std::vector<int64_t>(t->dims, t->dims + t->rank),
                      std::vector<char>(data, data + t->bytes)});
  }
  nncc_file_free(file);
  return exitDone;
}

/// The bytes of an entry; false and why not if they cannot be had.
static bool readEntry(zip_t *archive, zip_uint64_t i, std::string &name,
                      std::string &bytes, std::string &problem) {
  zip_stat_t entry;
  name = "an entry";
  if (zip_stat_index(archive, i, 0, &entry)) {
    problem = zip_strerror(archive);
    return false;
  }
  if (entry.name)
    name = entry.name;
  if (double(entry.size) > machineMemory()) {
    problem = "it would have " + std::to_string(entry.size) +
              " bytes, more than this machine's memory";
    return false;
  }
  zip_file_t *file = zip_fopen_index(archive, i, 0);
  if (!file) {
    problem = zip_strerror(archive);
    return false;
  }
  // In pieces: a damaged file may lie about its size.
  std::vector<char> buffer(1 << 20);
  zip_int64_t got;
  while ((got = zip_fread(file, buffer.data(), buffer.size())) > 0 &&
         bytes.size() <= entry.size)
    bytes.append(buffer.data(), size_t(got));
  bool isRead = got == 0 && bytes.size() == entry.size;
  if (!isRead)
    problem =
        got < 0 ? zip_file_strerror(file) : "its size is not what it says";
  zip_fclose(file);
  return isRead;
}

static int openArchive(const std::string &path, zip_t *&archive) {
  int error = 0;
  archive = zip_open(path.c_str(), ZIP_RDONLY, &error);
  if (archive)
    return exitDone;
  zip_error_t text;
  zip_error_init_with_code(&text, error);
  std::string problem = zip_error_strerror(&text);
  zip_error_fini(&text);
  if (error == ZIP_ER_OPEN || error == ZIP_ER_READ || error == ZIP_ER_NOENT)
    return fail(exitIo, "cannot read " + path + ": " + problem, path);
  if (error == ZIP_ER_NOZIP) // it begins like one
    problem = "the list of arrays that ends it is missing";
  return fail(exitRejected,
              path + ": the archive is truncated or damaged: " + problem, path);
}

static int readArchive(const std::string &path,
                       std::vector<HostTensor> &arrays) {
  zip_t *archive;
  int code = openArchive(path, archive);
  if (code)
    return code;
  zip_int64_t count = zip_get_num_entries(archive, 0);
  for (zip_int64_t i = 0; !code && i < count; ++i) {
    HostTensor tensor;
    std::string bytes, problem;
    if (!readEntry(archive, zip_uint64_t(i), tensor.name, bytes, problem) ||
        !parseNpy(bytes, tensor, problem)) {
      code =
          fail(exitRejected, path + ": " + tensor.name + ": " + problem, path);
      continue;
    }
    if (hasSuffix(tensor.name, ".npy"))
      tensor.name.resize(tensor.name.size() - 4);
    for (const HostTensor &other : arrays)
      if (!code && other.name == tensor.name)
        code =
            fail(exitRejected, path + " holds " + tensor.name + " twice", path);
    arrays.push_back(std::move(tensor));
  }
  zip_discard(archive);
  return code;
}

int readArrays(const std::string &path, std::vector<HostTensor> &arrays) {
  Glance glance;
  if (int code = glanceAt(path, glance))
    return code;
  std::vector<HostTensor> read;
  int code = exitDone;
  if (glance.kind == FileKind::npy) {
    std::string bytes, error;
    if (!readWhole(path, bytes, error))
      return fail(exitIo, error, path);
    read.emplace_back();
    if (!parseNpy(bytes, read.back(), error))
      return fail(exitRejected, path + ": " + error, path);
  } else if (glance.kind == FileKind::npz) {
    code = readArchive(path, read);
  } else { // or it says what it is
    code = readSafetensors(path, read);
  }
  for (HostTensor &array : read)
    arrays.push_back(std::move(array));
  return code;
}

/// Headers and lists of a file that is there.
static int checkWhole(const std::string &path, FileKind kind) {
  if (kind == FileKind::npz) {
    zip_t *archive;
    if (int code = openArchive(path, archive))
      return code;
    zip_discard(archive);
    return exitDone;
  }
  if (kind == FileKind::npy) {
    std::string start, error;
    size_t total, data;
    HostTensor tensor;
    if (int code = readStart(path, size_t(1) << 20, start, total))
      return code;
    bool isGood = parseNpyHeader(start, total, tensor, data, error);
    return isGood ? int(exitDone)
                  : fail(exitRejected, path + ": " + error, path);
  }
  nncc_file *file;
  if (int code = reportRuntime(nncc_file_map(path.c_str(), &file)))
    return code;
  nncc_file_free(file);
  return exitDone;
}

static int readsKinds(Paths &paths, const std::string &flag,
                      const std::string &path, bool onlySafetensors) {
  Glance glance;
  if (path.empty())
    return exitDone;
  if (int code = paths.readsFile(flag, path))
    return code;
  if (int code = glanceAt(path, glance))
    return code;
  bool isRight = onlySafetensors ? glance.kind == FileKind::safetensors
                                 : isArrays(path, glance.kind);
  if (isRight || glance.kind == FileKind::unknown) // the reader says more
    return checkWhole(path, glance.kind);
  return refuseKind(flag, path, glance,
                    onlySafetensors ? "a safetensors file"
                                    : "a safetensors, .npz or .npy file");
}

int readsArrays(Paths &paths, const std::string &flag,
                const std::string &path) {
  return readsKinds(paths, flag, path, false);
}

int readsWeights(Paths &paths, const std::string &flag,
                 const std::string &path) {
  return readsKinds(paths, flag, path, true);
}

int readArray(const std::string &path, const std::string &name,
              HostTensor &array) {
  std::vector<HostTensor> arrays;
  if (int code = readArrays(path, arrays))
    return code;
  std::string names;
  for (HostTensor &candidate : arrays) {
    if (candidate.name == name || arrays.size() == 1) {
      array = std::move(candidate);
      array.name = name;
      return exitDone;
    }
    names += (names.empty() ? "" : ", ") + candidate.name;
  }
  return fail(exitRejected,
              path + " holds " + std::to_string(arrays.size()) +
                  " arrays and none is called " + name + ": " + names,
              path);
}

std::string arrayFormat(const std::string &path) {
  std::string suffix = llvm::StringRef(suffixOf(path)).lower();
  return suffix == "npy" || suffix == "npz" ? suffix : "safetensors";
}

int writesArrays(Paths &paths, const std::string &flag,
                 const std::string &path) {
  std::string format = arrayFormat(path), suffix = suffixOf(path);
  if (int code = paths.writes(flag, path, format))
    return code;
  if (path.empty() || isDevice(path) ||
      llvm::StringRef(suffix).lower() == format)
    return exitDone;
  return fail(exitUsage,
              flag + " " + path +
                  ": arrays are written as .safetensors, .npz "
                  "or .npy",
              path);
}

static int writeArchive(const std::string &path,
                        const std::vector<HostTensor> &arrays) {
  zip_error_t error;
  zip_error_init(&error);
  std::vector<std::string> files;
  for (const HostTensor &array : arrays)
    files.push_back(npyOf(array));
  zip_source_t *source = zip_source_buffer_create(nullptr, 0, 0, &error);
  zip_t *archive =
      source ? zip_open_from_source(source, ZIP_TRUNCATE, &error) : nullptr;
  bool good = archive != nullptr;
  if (good)
    zip_source_keep(source); // its bytes are read when the archive is closed
  for (size_t i = 0; good && i < arrays.size(); ++i) {
    zip_source_t *data =
        zip_source_buffer(archive, files[i].data(), files[i].size(), 0);
    zip_int64_t at = zip_file_add(archive, (arrays[i].name + ".npy").c_str(),
                                  data, ZIP_FL_ENC_UTF_8);
    good =
        at >= 0 &&
        !zip_set_file_compression(archive, zip_uint64_t(at), ZIP_CM_STORE, 0) &&
        !zip_file_set_mtime(archive, zip_uint64_t(at), 315619200, 0);
  }
  if (archive && zip_close(archive))
    good = false;
  std::string bytes;
  zip_stat_t info;
  if (good && !zip_source_stat(source, &info) && !zip_source_open(source)) {
    bytes.resize(info.size);
    good = zip_source_read(source, bytes.data(), bytes.size()) ==
           zip_int64_t(bytes.size());
    zip_source_close(source);
  }
  if (source)
    zip_source_free(source);
  zip_error_fini(&error);
  if (!good)
    return fail(exitIo, "cannot write " + path + ": no archive can be made",
                path);
  return writeFile(path, bytes);
}

int writeArrays(const std::string &path, std::vector<HostTensor> &arrays) {
  std::string format = arrayFormat(path);
  if (format == "safetensors") {
    std::vector<nncc_file_tensor> list;
    for (HostTensor &tensor : arrays)
      list.push_back({tensor.name.c_str(), tensor.dtype,
                      uint32_t(tensor.dims.size()), tensor.dims.data(),
                      tensor.data.data(), tensor.data.size()});
    return reportRuntime(
        nncc_file_write(path.c_str(), list.data(), uint32_t(list.size())));
  }
  for (const HostTensor &array : arrays)
    if (!hasNpyType(array.dtype))
      return fail(exitRejected,
                  path + ": NumPy has no bf16, which " + array.name +
                      " is: write .safetensors",
                  path);
  if (format == "npz")
    return writeArchive(path, arrays);
  if (arrays.size() != 1)
    return fail(exitUsage,
                path + ": a .npy file holds one array, the entry gives " +
                    std::to_string(arrays.size()) + ": write .npz",
                path);
  return writeFile(path, npyOf(arrays.front()));
}

} // namespace nncc
