//===- Config.cpp - what NNCC_EMULATOR asks for ---------------------------===//
#include "Emulator.h"
#include <cstdio>
#include <cstdlib>

namespace emulator {

void say(const std::string &text) {
  fprintf(stderr, "nncc emulator: %s\n", text.c_str());
}

static bool readNumber(const std::string &text, uint64_t &value) {
  char *end = nullptr;
  value = strtoull(text.c_str(), &end, 10);
  return !text.empty() && !*end && text[0] != '-';
}

static bool readFlag(const std::string &word, Config &config) {
  struct {
    const char *name;
    bool &value;
  } flags[] = {{"late", config.isLate},      {"checked", config.isChecked},
               {"guards", config.hasGuards}, {"backwards", config.isBackwards},
               {"jitter", config.hasJitter}, {"stats", config.hasStats}};
  for (auto &flag : flags)
    if (word == flag.name)
      return flag.value = true;
  return false;
}

/// fail=cuStreamCreate:2, fail=cuStreamCreate:2:5
static bool readFailure(const std::string &value, Config &config) {
  size_t colon = value.find(':'), second = value.find(':', colon + 1);
  uint64_t code;
  if (colon == value.npos ||
      !readNumber(value.substr(colon + 1, second - colon - 1), code) ||
      (second != value.npos &&
       !readNumber(value.substr(second + 1), config.spared)))
    return false;
  config.failing = value.substr(0, colon);
  config.failure = int(code);
  return true;
}

/// sm=86, or sm=70:86 of two devices; the last is that of all behind it.
static bool readArchitectures(const std::string &value, Config &config) {
  config.sms.clear();
  for (size_t at = 0, colon = 0; colon != value.npos; at = colon + 1) {
    colon = value.find(':', at);
    uint64_t sm;
    if (!readNumber(value.substr(at, colon - at), sm))
      return false;
    config.sms.push_back(int(sm));
  }
  return true;
}

static bool readWord(const std::string &word, Config &config) {
  size_t equals = word.find('=');
  if (equals == word.npos)
    return readFlag(word, config);
  std::string name = word.substr(0, equals), value = word.substr(equals + 1);
  if (name == "fail")
    return readFailure(value, config);
  if (name == "sm")
    return readArchitectures(value, config);
  if (name == "fault") {
    config.fault = value;
    return !value.empty();
  }
  uint64_t number;
  if (!readNumber(value, number))
    return false;
  if (name == "seed")
    config.seed = number;
  else if (name == "memory")
    config.memory = number;
  else if (name == "driver")
    config.driver = int(number);
  else if (name == "devices")
    config.devices = int(number);
  else if (name == "code")
    config.code = int(number);
  else
    return false;
  return true;
}

bool readConfig(Config &config) {
  const char *text = getenv("NNCC_EMULATOR");
  std::string rest = text ? text : "";
  while (!rest.empty()) {
    size_t comma = rest.find(',');
    std::string word = rest.substr(0, comma);
    rest = comma == rest.npos ? "" : rest.substr(comma + 1);
    if (!readWord(word, config)) {
      say("NNCC_EMULATOR has \"" + word + "\", which is no word of its own");
      return false;
    }
  }
  return true;
}

} // namespace emulator
