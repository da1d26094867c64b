//===- Abi.cpp - the descriptor of a compiled model -----------------------===//
//
// Writes the structs of runtime/abi.h as LLVM constants. Field order and types
// here and there must agree; every field is 8 bytes but the first two.
//
//===----------------------------------------------------------------------===//
#include "codegen/Abi.h"
#include "codegen/EmbeddedWeights.h"
#include "codegen/cpu/LowerKernels.h"
#include "dialect/Nncc.h"
#include "passes/Utils.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MD5.h"

using namespace mlir;

namespace nncc {

nncc_dtype dtypeOf(Type type) {
  if (type.isF32())
    return NNCC_F32;
  if (type.isF64())
    return NNCC_F64;
  if (type.isF16())
    return NNCC_F16;
  if (type.isBF16())
    return NNCC_BF16;
  if (type.isUnsignedInteger(8))
    return NNCC_U8;
  switch (type.getIntOrFloatBitWidth()) {
  case 64:
    return NNCC_I64;
  case 32:
    return NNCC_I32;
  case 16:
    return NNCC_I16;
  case 8:
    return NNCC_I8;
  default:
    return NNCC_BOOL;
  }
}

std::string originOf(Location loc) {
  if (auto named = dyn_cast<NameLoc>(loc))
    return named.getName().str();
  SmallVector<std::string> origins;
  if (auto fused = dyn_cast<FusedLoc>(loc))
    for (Location part : fused.getLocations())
      if (std::string origin = originOf(part);
          !origin.empty() && !llvm::is_contained(origins, origin))
        origins.push_back(origin);
  return llvm::join(origins, " + ");
}

static std::string nameOf(DictionaryAttr attrs, unsigned index) {
  if (attrs)
    if (auto name = attrs.getAs<StringAttr>(valueNameAttr))
      return name.str();
  return std::to_string(index);
}

std::vector<TensorInfo> inputsOf(Operation *op) {
  auto entry = cast<func::FuncOp>(op);
  std::vector<TensorInfo> list;
  for (auto [i, type] : llvm::enumerate(entry.getArgumentTypes()))
    if (!entry.getArgAttr(i, keyAttr)) {
      TensorInfo &info = list.emplace_back();
      info.name = nameOf(entry.getArgAttrDict(i), i);
      info.type = cast<RankedTensorType>(type);
      if (auto initial = entry.getArgAttrOfType<FloatAttr>(i, defaultAttr))
        info.initial = initial.getValueAsDouble();
    }
  return list;
}

/// Which input a function's argument is.
static uint64_t inputNumber(func::FuncOp entry, unsigned argument) {
  uint64_t number = argument;
  for (unsigned i = 0; i < argument; ++i)
    number -= bool(entry.getArgAttr(i, keyAttr));
  return number;
}

std::vector<TensorInfo> outputsOf(Operation *op) {
  auto entry = cast<func::FuncOp>(op);
  std::vector<TensorInfo> list;
  for (auto [i, type] : llvm::enumerate(entry.getResultTypes()))
    if (!entry.getResultAttr(i, updateAttr))
      list.push_back({nameOf(entry.getResultAttrDict(i), i),
                      cast<RankedTensorType>(type), std::nullopt, false});
  return list;
}

std::vector<TensorInfo> weightsOf(ModuleOp model) {
  std::vector<TensorInfo> list;
  auto names = model->getAttrOfType<ArrayAttr>(weightsAttr);
  auto types = model->getAttrOfType<ArrayAttr>(weightTypesAttr);
  auto fresh = model->getAttrOfType<DenseBoolArrayAttr>(freshAttr);
  if (names && types)
    for (auto [i, name, type] : llvm::enumerate(names, types))
      list.push_back({cast<StringAttr>(name).str(),
                      cast<RankedTensorType>(cast<TypeAttr>(type).getValue()),
                      std::nullopt, fresh && fresh[i]});
  return list;
}

namespace {

/// An nncc_buffer.
struct Place {
  nncc_space space;
  uint64_t number; // its `value`
  int64_t offset = 0, stride = 0, alternate = 0;
};

class Descriptor {
public:
  Descriptor(llvm::Module &module, ModuleOp model, const TargetInfo &target,
             const EmbeddedWeights *weights)
      : module(module), context(module.getContext()), model(model),
        target(target), weights(weights), i64(llvm::Type::getInt64Ty(context)),
        pointer(llvm::PointerType::getUnqual(context)) {}

  void add();

private:
  using Constants = std::vector<llvm::Constant *>;

  llvm::Constant *number(uint64_t value) {
    return llvm::ConstantInt::get(i64, value);
  }
  llvm::Constant *null() { return llvm::ConstantPointerNull::get(pointer); }
  llvm::Constant *global(llvm::Constant *value) {
    auto *variable = new llvm::GlobalVariable(module, value->getType(), true,
                                              llvm::GlobalValue::PrivateLinkage,
                                              value, "nncc");
    variable->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
    return variable;
  }
  llvm::Constant *text(llvm::StringRef value) {
    auto [it, isNew] = strings.try_emplace(value, nullptr);
    if (isNew)
      it->second = global(llvm::ConstantDataArray::getString(context, value));
    return it->second;
  }
  llvm::Constant *record(const Constants &fields) {
    return llvm::ConstantStruct::getAnon(context, fields);
  }
  /// A pointer to an array of equal records; null if there are none.
  llvm::Constant *table(const Constants &rows) {
    if (rows.empty())
      return null();
    auto *type = llvm::ArrayType::get(rows.front()->getType(), rows.size());
    return global(llvm::ConstantArray::get(type, rows));
  }

  llvm::Constant *tensors(const std::vector<TensorInfo> &list) {
    Constants rows;
    for (const TensorInfo &tensor : list) {
      Constants dims;
      for (int64_t size : tensor.type.getShape())
        dims.push_back(number(size));
      llvm::Constant *initial =
          tensor.initial
              ? global(llvm::ConstantFP::get(llvm::Type::getFloatTy(context),
                                             *tensor.initial))
              : null();
      rows.push_back(record(
          {text(tensor.name), number(dtypeOf(tensor.type.getElementType())),
           number(tensor.type.getRank()), table(dims),
           number(byteSize(tensor.type)), number(tensor.isFresh), initial}));
    }
    return table(rows);
  }

  Place placeOf(Value value, func::FuncOp entry);
  Place placeOfRoot(Value value, func::FuncOp entry);
  Place written(ScanOp scan, unsigned i, int64_t step, func::FuncOp entry);
  Place element(ScanOp scan, Value whole, int64_t step, func::FuncOp entry);
  llvm::Constant *buffers(ValueRange values, func::FuncOp entry);
  llvm::Constant *body(func::FuncOp entry);
  void addScan(ScanOp scan, func::FuncOp entry, Constants &rows);
  void addSteps(Block &block, func::FuncOp entry, Constants &rows);
  llvm::Constant *limits(func::FuncOp entry, uint64_t &count);
  llvm::Constant *aliases(uint64_t &count);
  llvm::Constant *hash(const std::vector<TensorInfo> &list);
  llvm::Constant *bytes(std::string_view data);
  llvm::Constant *embedded();

  llvm::Module &module;
  llvm::LLVMContext &context;
  ModuleOp model;
  const TargetInfo &target;
  const EmbeddedWeights *weights; // or null
  llvm::Type *i64;
  llvm::PointerType *pointer;
  llvm::StringMap<llvm::Constant *> strings;
  llvm::StringMap<uint64_t> weightNumbers;
  llvm::DenseSet<uint64_t> weightsRead; // by steps
  std::vector<int64_t> preparedOffsets;
  // Of the scan whose body is written: values that lie outside of it, and where
  // its own arena starts.
  DenseMap<Value, Place> inScan;
  int64_t arenaStart = 0;
};

Place Descriptor::placeOf(Value value, func::FuncOp entry) {
  Storage storage = storageOf(value);
  Place place = placeOfRoot(storage.root, entry);
  place.offset += storage.bytes;
  return place;
}

Place Descriptor::placeOfRoot(Value value, func::FuncOp entry) {
  auto at = [](nncc_space space, uint64_t number) {
    return Place{space, number};
  };
  if (auto known = inScan.find(value); known != inScan.end())
    return known->second;
  Operation *ret = entry.getBody().front().getTerminator();
  if (auto argument = dyn_cast<BlockArgument>(value))
    return entry.getArgAttr(argument.getArgNumber(), keyAttr)
               ? at(NNCC_KEY, 0)
               : at(NNCC_INPUT, inputNumber(entry, argument.getArgNumber()));
  auto weightSpace = [&](llvm::StringRef path) {
    auto number = weightNumbers.find(path);
    assert(number != weightNumbers.end() && "a weight the model does not list");
    weightsRead.insert(number->second);
    return at(NNCC_WEIGHT, number->second);
  };
  if (auto weight = value.getDefiningOp<WeightOp>()) {
    if (weight.getPrepared())
      return at(NNCC_PREPARED,
                preparedOffsets[std::stoull(weight.getPath().str())]);
    return weightSpace(weight.getPath());
  }
  uint64_t output = 0;
  for (auto [i, returned] : llvm::enumerate(ret->getOperands())) {
    bool isUpdate = bool(entry.getResultAttr(i, updateAttr));
    if (storageOf(returned).root == value)
      return isUpdate ? weightSpace(nameOf(entry.getResultAttrDict(i), i))
                      : at(NNCC_OUTPUT, output);
    output += !isUpdate;
  }
  unsigned index = cast<OpResult>(value).getResultNumber();
  if (auto scan = value.getDefiningOp<ScanOp>()) {
    if (index < scan.stateCount())
      return written(scan, index, int64_t(scan.getSteps()) - 1, entry);
    return at(NNCC_ARENA, (*scan.getOffsets())[index]);
  }
  auto call = cast<CallOp>(value.getDefiningOp());
  return at(NNCC_ARENA, arenaStart + (*call.getOffsets())[index]);
}

/// Where a scan's step writes what it yields as number `i`, and how that moves
/// with further steps.
Place Descriptor::written(ScanOp scan, unsigned i, int64_t step,
                          func::FuncOp entry) {
  i = scan.homeOf(i);
  if (i >= scan.stateCount())
    return element(scan, scan.getResult(i), step, entry);
  auto type = cast<RankedTensorType>(scan.getResultTypes()[i]);
  int64_t bytes = alignedBytes(type), isOdd = step & 1;
  return {NNCC_ARENA, uint64_t((*scan.getOffsets())[i]), isOdd * bytes, 0,
          isOdd ? -bytes : bytes};
}

/// The element of a sequence or stack that belongs to a step.
Place Descriptor::element(ScanOp scan, Value whole, int64_t step,
                          func::FuncOp entry) {
  Place place = placeOf(whole, entry);
  int64_t bytes = byteSize(tensorType(whole)) / int64_t(scan.getSteps());
  place.offset += scan.elementOf(step) * bytes;
  place.stride = scan.getReverse() ? -bytes : bytes;
  return place;
}

llvm::Constant *Descriptor::buffers(ValueRange values, func::FuncOp entry) {
  Constants rows;
  for (Value value : values) {
    Place place = placeOf(value, entry);
    rows.push_back(
        record({number(place.space), number(place.number), number(place.offset),
                number(place.stride), number(place.alternate)}));
  }
  return table(rows);
}

/// The first step, which reads the initial state, then a loop of the others.
void Descriptor::addScan(ScanOp scan, func::FuncOp entry, Constants &rows) {
  int64_t steps = int64_t(scan.getSteps());
  for (int64_t first = 0; first < std::min<int64_t>(steps, 2); ++first) {
    auto put = [&](Value value, Place place) {
      if (first == 0) // stands alone
        place.stride = place.alternate = 0;
      inScan.try_emplace(value, place);
    };
    for (unsigned i = 0; i < scan.getNumResults(); ++i)
      put(storageOf(scan.yielded()[i]).root, written(scan, i, first, entry));
    for (auto [i, argument] : llvm::enumerate(scan.states()))
      put(argument, first ? written(scan, i, first - 1, entry)
                          : placeOf(scan.getInits()[i], entry));
    for (auto [argument, sequence] :
         llvm::zip_equal(scan.elements(), scan.getSequences()))
      put(argument, element(scan, sequence, first, entry));
    for (auto [argument, operand] :
         llvm::zip_equal(scan.fixed(), scan.getInvariants()))
      put(argument, placeOf(operand, entry));
    arenaStart = scan.getOffsets()->back();
    Constants body;
    addSteps(scan.block(), entry, body);
    inScan.clear();
    arenaStart = 0;
    if (first)
      rows.push_back(record({null(), number(0), null(), number(0), text("loop"),
                             text(originOf(scan.getLoc())), number(0), null(),
                             number(body.size()), number(steps - 1)}));
    llvm::append_range(rows, body);
  }
}

void Descriptor::addSteps(Block &block, func::FuncOp entry, Constants &rows) {
  for (Operation &op : block) {
    if (auto scan = dyn_cast<ScanOp>(op))
      addScan(scan, entry, rows);
    if (auto reduce = dyn_cast<AllReduceOp>(op)) {
      std::vector<TensorInfo> list;
      for (auto [name, value] :
           llvm::zip_equal(reduce.getNames(), reduce.getOperands()))
        list.push_back(
            {cast<StringAttr>(name).str(), tensorType(value), std::nullopt});
      rows.push_back(
          record({null(), number(0), buffers(reduce.getOperands(), entry),
                  number(list.size()), text("all_reduce"), text(""), number(0),
                  tensors(list), number(0), number(0)}));
    }
    auto call = dyn_cast<CallOp>(op);
    if (!call)
      continue;
    SmallVector<Value> values(call.getOperands());
    llvm::append_range(values, call.getResults());
    auto kernel = model.lookupSymbol<func::FuncOp>(call.getCallee());
    auto tiles = kernel->getAttrOfType<IntegerAttr>(tilesAttr);
    rows.push_back(
        record({module.getFunction(call.getCallee()), number(tiles.getInt()),
                buffers(values, entry), number(values.size()),
                text(call.getCallee()), text(originOf(call.getLoc())),
                number(flopsOf(kernel)), null(), number(0), number(0)}));
  }
}

/// "" without that attribute.
static llvm::StringRef textOf(Operation *op, const char *name) {
  auto text = op->getAttrOfType<StringAttr>(name);
  return text ? text.getValue() : "";
}

/// Inputs that are indices, with the size they index: by an attribute, or used
/// by a gather.
llvm::Constant *Descriptor::limits(func::FuncOp entry, uint64_t &count) {
  Constants rows;
  auto add = [&](uint64_t input, int64_t first, int64_t limit, int64_t except) {
    rows.push_back(record(
        {number(input), number(first), number(limit), number(except)}));
  };
  for (unsigned i = 0; i < entry.getNumArguments(); ++i)
    if (auto limits = entry.getArgAttrOfType<DenseI64ArrayAttr>(i, limitAttr))
      for (int64_t k = 0; k < limits.size(); k += 3)
        add(inputNumber(entry, i), limits[k], limits[k + 1], limits[k + 2]);
  for (CallOp call : entry.getBody().front().getOps<CallOp>()) {
    auto kernel = model.lookupSymbol<func::FuncOp>(call.getCallee());
    kernel.walk([&](GatherOp gather) {
      auto argument =
          dyn_cast<BlockArgument>(sourceOfElements(gather.getIndices()));
      if (!argument)
        return;
      auto input =
          dyn_cast<BlockArgument>(call.getOperand(argument.getArgNumber()));
      if (input)
        add(inputNumber(entry, input.getArgNumber()), 0,
            shapeOf(gather.getOperand())[gather.getDim()], INT64_MIN);
    });
  }
  count = rows.size();
  return table(rows);
}

llvm::Constant *Descriptor::body(func::FuncOp entry) {
  uint64_t limitCount;
  Constants steps;
  addSteps(entry.getBody().front(), entry, steps);
  llvm::Constant *limitTable = limits(entry, limitCount);
  uint64_t arena = entry->getAttrOfType<IntegerAttr>("nncc.arena").getInt();
  llvm::Constant *accumulate = null();
  if (auto name = entry->getAttrOfType<StringAttr>(accumulateAttr))
    accumulate = global(body(model.lookupSymbol<func::FuncOp>(name)));
  return record({tensors(inputsOf(entry)), tensors(outputsOf(entry)),
                 table(steps), number(steps.size()), number(arena), limitTable,
                 number(limitCount), accumulate,
                 text(textOf(entry, sizesAttr))});
}

llvm::Constant *Descriptor::aliases(uint64_t &count) {
  Constants rows;
  if (auto list = model->getAttrOfType<DictionaryAttr>(aliasesAttr))
    for (NamedAttribute alias : list) {
      auto path = cast<StringAttr>(alias.getValue()).getValue();
      rows.push_back(record({text(alias.getName().strref()),
                             number(weightNumbers.lookup(path))}));
    }
  count = rows.size();
  return table(rows);
}

llvm::Constant *Descriptor::bytes(std::string_view data) {
  llvm::StringRef text(data.data(), data.size());
  auto *variable = cast<llvm::GlobalVariable>(
      global(llvm::ConstantDataArray::getString(context, text, false)));
  variable->setAlignment(llvm::Align(64));
  return variable;
}

/// A record of the embedded weights; null if there are none.
llvm::Constant *Descriptor::embedded() {
  if (!weights)
    return null();
  Constants rows;
  for (auto [i, data] : llvm::enumerate(weights->tensors))
    rows.push_back(weightsRead.contains(i) && data.data() ? bytes(data)
                                                          : null());
  return global(record({table(rows), bytes(weights->prepared)}));
}

llvm::Constant *Descriptor::hash(const std::vector<TensorInfo> &list) {
  llvm::MD5 md5;
  for (const TensorInfo &tensor : list) {
    md5.update(tensor.name);
    std::string type;
    llvm::raw_string_ostream(type) << ':' << tensor.type << ';';
    md5.update(type);
  }
  llvm::MD5::MD5Result result;
  md5.final(result);
  return llvm::ConstantDataArray::get(context, llvm::ArrayRef<uint8_t>(result));
}

void Descriptor::add() {
  std::vector<TensorInfo> state = weightsOf(model);
  for (auto [i, weight] : llvm::enumerate(state))
    weightNumbers[weight.name] = i;
  uint64_t preparedBytes = 0;
  auto prepare = model.lookupSymbol<func::FuncOp>("prepare");
  if (prepare)
    for (Type type : prepare.getResultTypes()) {
      preparedOffsets.push_back(preparedBytes);
      preparedBytes += alignedBytes(cast<RankedTensorType>(type));
    }
  Constants entries;
  for (auto entry : model.getOps<func::FuncOp>()) {
    auto name = entry->getAttrOfType<StringAttr>(entryAttr);
    if (!name || llvm::any_of(entries, [&](llvm::Constant *e) {
          return e->getAggregateElement(0u) == text(name);
        }))
      continue;
    Constants bodies; // one per combination of symbolic sizes
    for (auto other : model.getOps<func::FuncOp>())
      if (other->getAttrOfType<StringAttr>(entryAttr) == name)
        bodies.push_back(body(other));
    auto period = entry->getAttrOfType<IntegerAttr>(periodAttr);
    entries.push_back(
        record({text(name), number(inputsOf(entry).size()),
                number(outputsOf(entry).size()), table(bodies),
                number(bodies.size()), number(period ? period.getInt() : 1),
                number(outputsOf(entry).size() < entry.getNumResults())}));
  }
  uint64_t aliasCount;
  llvm::StringRef name =
      model->getAttrOfType<StringAttr>(modelNameAttr).getValue();
  auto *i32 = llvm::Type::getInt32Ty(context);
  llvm::Constant *descriptor = global(record(
      {llvm::ConstantInt::get(i32, NNCC_ABI_VERSION),
       llvm::ConstantInt::get(i32, 0), text("nncc 0.1.0"), text(name),
       text(target.cpu), number(target.requiredFeatures), table(entries),
       number(entries.size()), tensors(state), number(state.size()),
       prepare ? global(body(prepare)) : null(), number(preparedBytes),
       aliases(aliasCount), number(aliasCount), embedded(), hash(state),
       text(textOf(model, trainingAttr))}));
  auto *type = llvm::FunctionType::get(pointer, false);
  auto *function =
      llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage,
                             (name + "_model").str(), module);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "", function));
  b.CreateRet(descriptor);
}

} // namespace

void addDescriptor(llvm::Module &module, ModuleOp model,
                   const TargetInfo &target, const EmbeddedWeights *embedded) {
  Descriptor(module, model, target, embedded).add();
}

} // namespace nncc
