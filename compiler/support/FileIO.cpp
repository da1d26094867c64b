//===- FileIO.cpp - whole files, atomically -------------------------------===//
#include "support/FileIO.h"
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace nncc {

bool readWhole(const std::string &path, std::string &text, std::string &error) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) {
    error = "cannot read " + path + ": " + strerror(errno);
    if (file >= 0)
      close(file);
    return false;
  }
  if (S_ISDIR(info.st_mode)) {
    error = "cannot read " + path + ": it is a directory";
    close(file);
    return false;
  }
  text.clear();
  char buffer[1 << 16];
  ssize_t count;
  while ((count = read(file, buffer, sizeof buffer)) > 0)
    text.append(buffer, size_t(count));
  if (count < 0)
    error = "cannot read " + path + ": " + strerror(errno);
  close(file);
  return count == 0;
}

static bool writeAll(int file, const std::string &data) {
  size_t done = 0;
  while (done < data.size()) {
    ssize_t count = write(file, data.data() + done, data.size() - done);
    if (count <= 0)
      return false;
    done += size_t(count);
  }
  return true;
}

bool writeAtomically(const std::string &path, const std::string &data,
                     std::string &error) {
  std::string temporary = path + ".XXXXXX";
  int file = mkstemp(temporary.data());
  bool good = file >= 0 && writeAll(file, data) && fchmod(file, 0644) == 0 &&
              fsync(file) == 0;
  if (!good)
    error = "cannot write " + path + ": " + strerror(errno);
  if (file >= 0 && close(file) != 0 && good) {
    good = false;
    error = "cannot write " + path + ": " + strerror(errno);
  }
  if (good && rename(temporary.c_str(), path.c_str()) != 0) {
    good = false;
    error = "cannot write " + path + ": " + strerror(errno);
  }
  if (!good && file >= 0)
    unlink(temporary.c_str());
  return good;
}

} // namespace nncc
