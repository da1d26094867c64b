//===- Library.cpp - compiled models in this process ----------------------===//
//
// A model is the one symbol NAME_model of its file.
//
//===----------------------------------------------------------------------===//
#include "Library.h"
#include "Verbs.h"
#include "llvm/Object/ELFObjectFile.h"
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <iostream>
#include <unistd.h>

namespace nncc {

bool isCompiled(const std::string &path) {
  return hasSuffix(path, ".so") || hasSuffix(path, ".o") ||
         hasSuffix(path, ".a");
}

Library::~Library() {
  if (handle)
    dlclose(handle);
}

/// The name of the dynamic symbol that ends in _model; "" if there is none.
static std::string modelSymbol(const std::string &path) {
  auto binary = llvm::object::createBinary(path);
  if (!binary) {
    llvm::consumeError(binary.takeError());
    return "";
  }
  auto *elf =
      llvm::dyn_cast<llvm::object::ELFObjectFileBase>(binary->getBinary());
  if (!elf)
    return "";
  for (const auto &symbol : elf->getDynamicSymbolIterators()) {
    auto name = symbol.getName();
    if (!name)
      llvm::consumeError(name.takeError());
    else if (name->ends_with("_model") && !name->starts_with("nncc_"))
      return name->str();
  }
  return "";
}

int Library::load(const std::string &path, const std::string &shown) {
  if (access(path.c_str(), R_OK)) {
    std::cerr << "nncc: cannot read " << shown << ": " << strerror(errno)
              << '\n';
    return exitIo;
  }
  std::string symbol = modelSymbol(path);
  if (symbol.empty()) {
    std::cerr << "nncc: " << shown << " is no compiled model: it has no symbol "
              << "NAME_model\n";
    return exitRejected;
  }
  bool hasFolder = path.find('/') != std::string::npos;
  handle =
      dlopen(((hasFolder ? "" : "./") + path).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    std::cerr << "nncc: cannot load " << shown << ": " << dlerror() << '\n';
    return exitIo;
  }
  auto *get =
      reinterpret_cast<const nncc_model *(*)()>(dlsym(handle, symbol.c_str()));
  model = get();
  if (model->abi_version == NNCC_ABI_VERSION)
    return exitDone;
  std::cerr << "nncc: " << shown << " has ABI version " << model->abi_version
            << ", this nncc " << NNCC_ABI_VERSION
            << ": compile the model again\n";
  return exitUnsupported;
}

int Library::openObject(const std::string &object) {
  std::string parent = std::filesystem::temp_directory_path().string();
  std::string folder = parent + "/nncc.XXXXXX";
  if (!mkdtemp(folder.data())) {
    std::cerr << "nncc: cannot make a folder in " << parent << ": "
              << strerror(errno) << '\n';
    return exitIo;
  }
  std::string path = folder + "/model.so";
  int code =
      linkShared(object, path) ? load(path, "the linked model") : int(exitIo);
  unlink(path.c_str());
  rmdir(folder.c_str());
  return code;
}

int Library::open(const std::string &path) {
  if (hasSuffix(path, ".so"))
    return load(path, path);
  std::string bytes;
  if (!readFile(path, bytes))
    return exitIo;
  bool isArchive = bytes.compare(0, 8, "!<arch>\n") == 0;
  if (isArchive || bytes.compare(0, 4,
                                 "\x7f"
                                 "ELF") == 0)
    return openObject(bytes);
  std::cerr << "nncc: " << path << " is neither an object nor an archive\n";
  return exitRejected;
}

} // namespace nncc
