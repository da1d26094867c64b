//===- FileIO.cpp - whole files, atomically -------------------------------===//
#include "support/FileIO.h"
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace nncc {

bool readWhole(const std::string &path, std::string &text, std::string &error,
               size_t most) {
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
  while ((count = read(file, buffer, sizeof buffer)) > 0 && text.size() <= most)
    text.append(buffer, size_t(count));
  if (count < 0)
    error = "cannot read " + path + ": " + strerror(errno);
  if (count > 0)
    error = "cannot read " + path + ": it has more than " +
            std::to_string(most) + " bytes";
  close(file);
  return count == 0;
}

static bool writeAll(int file, const std::string &data) {
  size_t done = 0;
  while (done < data.size()) {
    ssize_t count = write(file, data.data() + done, data.size() - done);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return false;
    done += size_t(count);
  }
  return true;
}

/// A new file beside `path`, with the umask's mode, which mkstemp would not
/// give; -1 and errno if there can be none.
static int openTemporary(const std::string &path, std::string &temporary) {
  for (unsigned i = 0;; ++i) {
    temporary =
        path + ".tmp" + std::to_string(getpid()) + "." + std::to_string(i);
    int file =
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0 || errno != EEXIST)
      return file;
  }
}

/// What is there already, and a rename would replace: a device, a pipe.
static bool isSpecial(const std::string &path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
}

std::string linkTarget(std::string path) {
  for (int links = 0; links < 40; ++links) {
    if (char *real = realpath(path.c_str(), nullptr)) {
      path = real;
      free(real);
      break;
    }
    char buffer[4096];
    ssize_t length = readlink(path.c_str(), buffer, sizeof buffer);
    if (length <= 0)
      break;
    std::string to(buffer, size_t(length));
    path = to[0] == '/' ? to : path.substr(0, path.rfind('/') + 1) + to;
  }
  return path;
}

bool writeAtomically(const std::string &path, const std::string &data,
                     std::string &error) {
  auto fails = [&] {
    error = "cannot write " + path + ": " + strerror(errno);
    return false;
  };
  bool isDirect = isSpecial(path);
  std::string place = linkTarget(path), temporary;
  int file = isDirect ? open(path.c_str(), O_WRONLY | O_CLOEXEC)
                      : openTemporary(place, temporary);
  if (file < 0)
    return fails();
  bool good = writeAll(file, data) && (isDirect || fsync(file) == 0);
  if (!good)
    fails();
  if (close(file) != 0 && good)
    good = fails();
  if (good && !isDirect && rename(temporary.c_str(), place.c_str()) != 0)
    good = fails();
  if (!good && !isDirect)
    unlink(temporary.c_str());
  return good;
}

bool canWrite(const std::string &path, std::string &error) {
  bool isDirect = isSpecial(path);
  std::string temporary;
  struct stat info;
  int file = -1;
  if (path.empty() || path.back() == '/' ||
      (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)))
    errno = EISDIR;
  else if (!isDirect && access(path.c_str(), F_OK) == 0 &&
           access(path.c_str(), W_OK) != 0)
    errno = EACCES; // a rename could replace it, which its mode forbids
  else
    file = isDirect ? open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK)
                    : openTemporary(linkTarget(path), temporary);
  if (file < 0 && !(isDirect && errno == ENXIO)) { // a pipe without a reader
    error = "cannot write " + path + ": " +
            (errno == EISDIR ? "it is a directory" : strerror(errno));
    return false;
  }
  if (file >= 0)
    close(file);
  if (!isDirect)
    unlink(temporary.c_str());
  return true;
}

} // namespace nncc
