//===- JoinObjects.cpp - several objects as one ---------------------------===//
//
// Relocations keep their addends beside them (RELA), so contents are copied as
// they are; only positions and symbol numbers change. Section groups, which
// kernels have none of, are not handled.
//
//===----------------------------------------------------------------------===//
#include "codegen/JoinObjects.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Object/ELF.h"
#include "llvm/Support/Alignment.h"
#include <map>
#include <numeric>
#include <vector>

using namespace llvm;

namespace nncc {

namespace {

using File = object::ELFFile<object::ELF64LE>;

struct Section {
  std::string name;
  ELF::Elf64_Shdr header = {};
  std::string data; // empty, with a size, where the file has none
  std::vector<ELF::Elf64_Rela> relocations; // of symbols by number here
};

struct Symbol {
  std::string name;
  ELF::Elf64_Sym entry = {};
};

class Joiner {
public:
  void add(StringRef object);
  std::string write();

private:
  /// Where a section of the object that is being added went.
  struct Place {
    int64_t section = -1;
    uint64_t offset = 0;
  };
  /// What a symbol of it became; `addend` for one that names a section.
  struct Meaning {
    size_t symbol = 0;
    int64_t addend = 0;
  };

  Place append(const File &file, const object::ELF64LE::Shdr &header);
  Meaning addSymbol(const object::ELF64LE::Sym &symbol, StringRef name,
                    ArrayRef<Place> places);
  size_t sectionSymbol(int64_t section);
  std::vector<size_t> orderSymbols(size_t &locals) const;
  Section &addTable(StringRef name, uint32_t type, std::string data,
                    uint64_t align, uint64_t entry);
  void addSections();

  MapVector<std::string, Section, std::map<std::string, unsigned>> sections;
  std::vector<Symbol> symbols{{}};
  StringMap<size_t> globals;
  DenseMap<int64_t, size_t> sectionSymbols;

  std::vector<Section> all{1}; // as they are written, the first one is none
  std::string sectionNames = std::string(1, '\0');
};

bool isCopied(uint32_t type) {
  return type == ELF::SHT_PROGBITS || type == ELF::SHT_NOBITS ||
         type == ELF::SHT_X86_64_UNWIND;
}

Joiner::Place Joiner::append(const File &file,
                             const object::ELF64LE::Shdr &header) {
  StringRef name = cantFail(file.getSectionName(header));
  std::string key = (name + Twine('\0') + Twine(header.sh_type) + "," +
                     Twine(header.sh_flags) + "," + Twine(header.sh_entsize))
                        .str();
  auto [it, isNew] = sections.try_emplace(key);
  Section &section = it->second;
  if (isNew) {
    section.name = name.str();
    section.header.sh_type = header.sh_type;
    section.header.sh_flags = header.sh_flags;
    section.header.sh_entsize = header.sh_entsize;
  }
  uint64_t align = std::max<uint64_t>(1, header.sh_addralign);
  section.header.sh_addralign =
      std::max<uint64_t>(section.header.sh_addralign, align);
  uint64_t offset = alignTo(section.header.sh_size, align);
  section.header.sh_size = offset + header.sh_size;
  if (header.sh_type != ELF::SHT_NOBITS) {
    // Code between functions is never reached.
    section.data.resize(offset);
    ArrayRef<uint8_t> bytes = cantFail(file.getSectionContents(header));
    section.data.append(bytes.begin(), bytes.end());
  }
  return {it - sections.begin(), offset};
}

size_t Joiner::sectionSymbol(int64_t section) {
  auto [it, isNew] = sectionSymbols.try_emplace(section, symbols.size());
  if (isNew) {
    Symbol &symbol = symbols.emplace_back();
    symbol.entry.setBindingAndType(ELF::STB_LOCAL, ELF::STT_SECTION);
    symbol.entry.st_shndx = section + 1;
  }
  return it->second;
}

Joiner::Meaning Joiner::addSymbol(const object::ELF64LE::Sym &from,
                                  StringRef name, ArrayRef<Place> places) {
  uint32_t in = from.st_shndx;
  bool isPlaced = in != ELF::SHN_UNDEF && in < ELF::SHN_LORESERVE;
  if (from.getType() == ELF::STT_SECTION) {
    if (places[in].section < 0)
      return {};
    return {sectionSymbol(places[in].section), int64_t(places[in].offset)};
  }
  if (from.getType() == ELF::STT_FILE)
    return {};
  Symbol symbol;
  symbol.name = name.str();
  symbol.entry.st_info = from.st_info;
  symbol.entry.st_other = from.st_other;
  symbol.entry.st_size = from.st_size;
  symbol.entry.st_value = from.st_value;
  symbol.entry.st_shndx = from.st_shndx;
  if (isPlaced) {
    assert(places[in].section >= 0 && "symbols name code or data");
    symbol.entry.st_value += places[in].offset;
    symbol.entry.st_shndx = places[in].section + 1;
  }
  size_t number = symbols.size();
  if (from.getBinding() != ELF::STB_LOCAL) {
    auto [it, isNew] = globals.try_emplace(name, number);
    if (!isNew) {
      if (in != ELF::SHN_UNDEF)
        symbols[it->second] = symbol; // its definition
      return {it->second};
    }
  }
  symbols.push_back(symbol);
  return {number};
}

void Joiner::add(StringRef object) {
  File file = cantFail(File::create(object));
  auto headers = cantFail(file.sections());
  std::vector<Place> places(headers.size());
  for (auto [i, header] : enumerate(headers))
    if (isCopied(header.sh_type))
      places[i] = append(file, header);
  std::vector<Meaning> meanings;
  for (const auto &header : headers) {
    if (header.sh_type != ELF::SHT_SYMTAB)
      continue;
    StringRef names = cantFail(file.getStringTableForSymtab(header));
    for (const auto &symbol : cantFail(file.symbols(&header)))
      meanings.push_back(
          meanings.empty() // the first one is none
              ? Meaning()
              : addSymbol(symbol, cantFail(symbol.getName(names)), places));
  }
  for (const auto &header : headers) {
    if (header.sh_type != ELF::SHT_RELA)
      continue;
    Place place = places[header.sh_info];
    if (place.section < 0)
      continue;
    auto &list = (sections.begin() + place.section)->second.relocations;
    for (const auto &from : cantFail(file.relas(header))) {
      const Meaning &meaning = meanings[from.getSymbol(false)];
      ELF::Elf64_Rela rela;
      rela.r_offset = from.r_offset + place.offset;
      rela.setSymbolAndType(meaning.symbol, from.getType(false));
      rela.r_addend = from.r_addend + meaning.addend;
      list.push_back(rela);
    }
  }
}

/// Local symbols stand first. What is hidden and defined becomes one.
std::vector<size_t> Joiner::orderSymbols(size_t &locals) const {
  std::vector<size_t> order(symbols.size());
  auto isLocal = [&](size_t i) {
    const ELF::Elf64_Sym &entry = symbols[i].entry;
    return entry.getBinding() == ELF::STB_LOCAL ||
           (entry.st_other == ELF::STV_HIDDEN && entry.st_shndx);
  };
  std::iota(order.begin(), order.end(), 0);
  auto middle = std::stable_partition(order.begin(), order.end(), isLocal);
  locals = middle - order.begin();
  return order;
}

template <typename T> void appendTo(std::string &data, const T &value) {
  data.append(reinterpret_cast<const char *>(&value), sizeof value);
}

/// Adds a string to a table of them.
uint32_t nameIn(std::string &table, StringRef name) {
  if (name.empty())
    return 0; // the first one is
  size_t at = table.size();
  table.append(name.data(), name.size()).push_back('\0');
  return at;
}

Section &Joiner::addTable(StringRef name, uint32_t type, std::string data,
                          uint64_t align, uint64_t entry) {
  Section &section = all.emplace_back();
  section.header.sh_name = nameIn(sectionNames, name);
  section.header.sh_type = type;
  section.header.sh_size = data.size();
  section.header.sh_addralign = align;
  section.header.sh_entsize = entry;
  section.data = std::move(data);
  return section;
}

/// Those of the objects, their relocations, and three tables.
void Joiner::addSections() {
  for (auto &[key, section] : sections) {
    section.header.sh_name = nameIn(sectionNames, section.name);
    all.push_back(section);
  }
  size_t locals = 0;
  std::vector<size_t> order = orderSymbols(locals), number(symbols.size());
  for (auto [i, from] : enumerate(order))
    number[from] = i;
  size_t withRelocations = count_if(
      sections, [](auto &entry) { return !entry.second.relocations.empty(); });
  size_t symbolTable = all.size() + withRelocations;
  for (auto [i, entry] : enumerate(sections)) {
    std::string data;
    for (ELF::Elf64_Rela rela : entry.second.relocations) {
      rela.setSymbol(number[rela.getSymbol()]);
      appendTo(data, rela);
    }
    if (data.empty())
      continue;
    std::string name = ".rela" + entry.second.name;
    auto &header = addTable(name, ELF::SHT_RELA, std::move(data), 8,
                            sizeof(ELF::Elf64_Rela))
                       .header;
    header.sh_flags = ELF::SHF_INFO_LINK;
    header.sh_link = symbolTable;
    header.sh_info = i + 1;
  }
  std::string table, strings(1, '\0');
  for (auto [i, from] : enumerate(order)) {
    Symbol &symbol = symbols[from];
    symbol.entry.st_name = nameIn(strings, symbol.name);
    if (i < locals) {
      symbol.entry.setBinding(ELF::STB_LOCAL);
      symbol.entry.st_other = ELF::STV_DEFAULT;
    }
    appendTo(table, symbol.entry);
  }
  auto &header = addTable(".symtab", ELF::SHT_SYMTAB, std::move(table), 8,
                          sizeof(ELF::Elf64_Sym))
                     .header;
  header.sh_link = symbolTable + 1;
  header.sh_info = locals;
  addTable(".strtab", ELF::SHT_STRTAB, std::move(strings), 1, 0);
  Section &names = addTable(".shstrtab", ELF::SHT_STRTAB, "", 1, 0);
  names.data = sectionNames;
  names.header.sh_size = sectionNames.size();
}

std::string Joiner::write() {
  addSections();
  ELF::Elf64_Ehdr file = {};
  std::string out(sizeof file, '\0');
  for (Section &section : all) {
    uint64_t align = std::max<uint64_t>(1, section.header.sh_addralign);
    out.resize(alignTo(out.size(), align));
    section.header.sh_offset = section.header.sh_type ? out.size() : 0;
    out += section.data;
  }
  out.resize(alignTo(out.size(), 8));
  memcpy(file.e_ident, ELF::ElfMagic, 4);
  file.e_ident[ELF::EI_CLASS] = ELF::ELFCLASS64;
  file.e_ident[ELF::EI_DATA] = ELF::ELFDATA2LSB;
  file.e_ident[ELF::EI_VERSION] = ELF::EV_CURRENT;
  file.e_type = ELF::ET_REL;
  file.e_machine = ELF::EM_X86_64;
  file.e_version = ELF::EV_CURRENT;
  file.e_shoff = out.size();
  file.e_ehsize = sizeof file;
  file.e_shentsize = sizeof(ELF::Elf64_Shdr);
  file.e_shnum = all.size();
  file.e_shstrndx = all.size() - 1;
  memcpy(out.data(), &file, sizeof file);
  for (const Section &section : all)
    appendTo(out, section.header);
  return out;
}

} // namespace

std::string joinObjects(ArrayRef<std::string> objects) {
  Joiner joiner;
  for (const std::string &object : objects)
    joiner.add(object);
  return joiner.write();
}

} // namespace nncc
