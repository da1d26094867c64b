//===- Tile.cpp - each kernel's kind and schedule -------------------------===//
//
// The kind of a kernel is found here, once; its numbers are the kind's choice
// where neither the kernel nor the table says another.
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/Tile.h"
#include "dialect/Names.h"
#include "dialect/Place.h"
#include "passes/Passes.h"

using namespace mlir;

namespace nncc {
#define GEN_PASS_DEF_NNCCTILE
#include "passes/Passes.h.inc"

namespace {

struct Tile : impl::NnccTileBase<Tile> {
  using NnccTileBase::NnccTileBase;
  Tile(const TargetInfo &target, const KernelTarget &how,
       const ScheduleTable &table)
      : target(target), how(&how), table(table) {}

  void runOnOperation() override {
    std::string error;
    if (target.triple.empty() && !how->lookup(cpu, target, error)) {
      getOperation().emitError(error);
      return signalPassFailure();
    }
    for (auto kernel : getOperation().getOps<func::FuncOp>())
      if (kernel.isPrivate()) {
        schedule(kernel);
        ++scheduled;
      }
  }

private:
  void schedule(func::FuncOp kernel) {
    WorkingOn at(kernel.getLoc());
    Builder b(&getContext());
    const KernelKind *kind =
        llvm::find_if(how->kinds, [&](const KernelKind &each) {
          return each.matches(kernel, target);
        });
    std::map<std::string, int64_t> numbers;
    for (auto [number, value] :
         llvm::zip_equal(kind->numbers, kind->choose(kernel, target)))
      numbers[number.name] = value;
    override(kernel, numbers);
    SmallVector<NamedAttribute> list;
    for (auto &[name, value] : numbers)
      list.push_back(b.getNamedAttr(name, b.getI64IntegerAttr(value)));
    kernel->setAttr(kindAttr, b.getStringAttr(kind->name));
    kernel->setAttr(scheduleAttr, b.getDictionaryAttr(list));
  }

  /// First the table, which is checked elsewhere, then what stands on the
  /// kernel already.
  void override(func::FuncOp kernel, std::map<std::string, int64_t> &numbers) {
    if (auto key = kernel->getAttrOfType<StringAttr>(kernelKeyAttr))
      if (auto row = table.find(key.str()); row != table.end())
        for (auto &[name, value] : row->second)
          if (auto it = numbers.find(name); it != numbers.end())
            it->second = value;
    std::map<std::string, int64_t> given;
    if (auto attr = kernel->getAttrOfType<DictionaryAttr>(scheduleAttr))
      for (NamedAttribute entry : attr)
        if (auto value = dyn_cast<IntegerAttr>(entry.getValue()))
          given[entry.getName().str()] = value.getInt();
    for (auto &[name, value] : given) {
      auto it = numbers.find(name);
      if (it != numbers.end() && value >= 1)
        it->second = value;
      else
        kernel.emitWarning() << kernel.getName() << ": no " << name << " = "
                             << value << " in this kernel's schedule";
    }
  }

  TargetInfo target;
  const KernelTarget *how = &cpuTarget();
  ScheduleTable table;
};

} // namespace

std::unique_ptr<Pass> createTilePass(const TargetInfo &target,
                                     const KernelTarget &how,
                                     const ScheduleTable &table) {
  return std::make_unique<Tile>(target, how, table);
}

} // namespace nncc
