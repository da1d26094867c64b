//===- Abi.cpp - the descriptor of a compiled model -----------------------===//
//
// Writes a Program (Steps.h) in the structs of runtime/abi.h as LLVM constants.
// Field order and types here and there must agree; every field is 8 bytes but
// the first two and the hash, which has 16.
//
//===----------------------------------------------------------------------===//
#include "codegen/Abi.h"
#include "codegen/Steps.h"
#include "dialect/Nncc.h"
#include "support/Version.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/Support/MD5.h"

using namespace mlir;

namespace nncc {

namespace {

class Descriptor {
public:
  Descriptor(llvm::Module &module)
      : module(module), context(module.getContext()),
        i64(llvm::Type::getInt64Ty(context)),
        pointer(llvm::PointerType::getUnqual(context)) {}

  void add(ModuleOp model, const TargetInfo *cpu,
           llvm::ArrayRef<DeviceProgram> devices,
           const EmbeddedWeights *embedded);

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

  llvm::Constant *tensors(llvm::ArrayRef<TensorInfo> list);
  llvm::Constant *buffers(llvm::ArrayRef<Place> places);
  Constants steps(llvm::ArrayRef<Step> list);
  llvm::Constant *limits(llvm::ArrayRef<Limit> list);
  llvm::Constant *body(const Body &body);
  Constants bodies(const Entry &entry);
  llvm::Constant *entry(const Entry &entry);
  llvm::Constant *image(const DeviceKernel &kernel, const DeviceImage &image);
  llvm::Constant *deviceKernels(const DeviceCode &code);
  llvm::Constant *device(const DeviceProgram &program, const Program &steps);
  llvm::Constant *external(llvm::StringRef name);
  Constants aliases(ModuleOp model, const Program &program);
  llvm::Constant *hash(llvm::ArrayRef<TensorInfo> list);
  llvm::Constant *bytes(std::string_view data);
  llvm::Constant *embeddedState(const EmbeddedWeights *weights,
                                const Program &program);

  llvm::Module &module;
  llvm::LLVMContext &context;
  llvm::Type *i64;
  llvm::PointerType *pointer;
  llvm::StringMap<llvm::Constant *> strings;
  /// Of the program for a GPU that is written: its kernels by name.
  llvm::StringMap<llvm::Constant *> onDevice;
};

} // namespace

llvm::Constant *Descriptor::tensors(llvm::ArrayRef<TensorInfo> list) {
  Constants rows;
  for (const TensorInfo &tensor : list) {
    Constants dims;
    for (int64_t size : tensor.type.getShape())
      dims.push_back(number(size));
    llvm::Constant *initial = null();
    if (tensor.initial) {
      bool isDouble = tensor.type.getElementType().isF64();
      initial = global(
          llvm::ConstantFP::get(isDouble ? llvm::Type::getDoubleTy(context)
                                         : llvm::Type::getFloatTy(context),
                                *tensor.initial));
    }
    rows.push_back(record(
        {text(tensor.name), number(dtypeOf(tensor.type.getElementType())),
         number(tensor.type.getRank()), table(dims),
         number(byteSize(tensor.type)), number(tensor.isFresh), initial,
         text(tensor.reached)}));
  }
  return table(rows);
}

llvm::Constant *Descriptor::buffers(llvm::ArrayRef<Place> places) {
  Constants rows;
  for (const Place &place : places)
    rows.push_back(record({number(place.space), number(place.number),
                           number(place.offset), number(place.bytes),
                           number(place.stride), number(place.alternate)}));
  return table(rows);
}

Descriptor::Constants Descriptor::steps(llvm::ArrayRef<Step> list) {
  Constants rows;
  while (!list.empty()) {
    const Step &step = list.front();
    list = list.drop_front();
    // What a loop runs is written before its own row.
    Constants inside = steps(list.take_front(step.body));
    list = list.drop_front(step.body);
    llvm::Constant *code = null(), *device = null();
    if (step.kind == Step::Kind::kernel)
      (onDevice.empty() ? code : device) = onDevice.empty()
                                               ? module.getFunction(step.name)
                                               : onDevice.lookup(step.name);
    rows.push_back(
        record({code, device, number(step.tiles), buffers(step.buffers),
                number(step.buffers.size()), text(step.name), text(step.origin),
                number(step.flops), tensors(step.tensors), number(step.body),
                number(step.times)}));
    llvm::append_range(rows, inside);
  }
  return rows;
}

llvm::Constant *Descriptor::limits(llvm::ArrayRef<Limit> list) {
  Constants rows;
  for (const Limit &limit : list)
    rows.push_back(record({number(limit.input), number(limit.first),
                           number(limit.end), number(limit.except)}));
  return table(rows);
}

llvm::Constant *Descriptor::body(const Body &what) {
  llvm::Constant *stepTable = table(steps(what.steps));
  llvm::Constant *limitTable = limits(what.limits);
  llvm::Constant *accumulate =
      what.accumulate ? global(body(*what.accumulate)) : null();
  return record({tensors(what.inputs), tensors(what.outputs), stepTable,
                 number(what.steps.size()), number(what.arenaBytes), limitTable,
                 number(what.limits.size()), accumulate, text(what.sizes)});
}

Descriptor::Constants Descriptor::bodies(const Entry &what) {
  Constants rows;
  for (const Body &each : what.bodies)
    rows.push_back(body(each));
  return rows;
}

llvm::Constant *Descriptor::entry(const Entry &what) {
  const Body &any = what.bodies.front();
  return record({text(what.name), number(any.inputs.size()),
                 number(any.outputs.size()), table(bodies(what)),
                 number(what.bodies.size()), number(what.period),
                 number(what.updates)});
}

//===----------------------------------------------------------------------===//
// Programs for GPUs
//===----------------------------------------------------------------------===//

llvm::Constant *Descriptor::external(llvm::StringRef name) {
  return module.getOrInsertGlobal(name, llvm::Type::getInt8Ty(context));
}

llvm::Constant *Descriptor::image(const DeviceKernel &kernel,
                                  const DeviceImage &what) {
  llvm::Constant *data;
  if (what.kind == NNCC_IMAGE_EMULATOR) {
    llvm::Constant *thread = cast<llvm::Constant>(
        module
            .getOrInsertFunction(emulatedName(kernel.name),
                                 llvm::Type::getVoidTy(context), pointer)
            .getCallee());
    data = global(record(
        {text(kernel.name), thread, module.getNamedGlobal(emulatorSlot)}));
  } else {
    data = bytes(what.bytes);
    cast<llvm::GlobalVariable>(data)->setSection(".nncc.cuda");
  }
  return record({number(what.kind), number(what.bytes.size()), data});
}

/// The table of kernels; notes where each stands.
llvm::Constant *Descriptor::deviceKernels(const DeviceCode &code) {
  Constants rows;
  for (const DeviceKernel &kernel : code.kernels) {
    Constants images;
    for (const DeviceImage &each : kernel.images)
      images.push_back(image(kernel, each));
    rows.push_back(record({text(kernel.name), table(images),
                           number(images.size()), number(deviceThreads)}));
  }
  llvm::Constant *kernels = table(rows);
  for (auto [i, kernel] : llvm::enumerate(code.kernels))
    onDevice[kernel.name] = llvm::ConstantExpr::getInBoundsGetElementPtr(
        rows.front()->getType(), kernels, number(i));
  return kernels;
}

llvm::Constant *Descriptor::device(const DeviceProgram &program,
                                   const Program &steps) {
  llvm::Constant *kernels = deviceKernels(program.code);
  Constants entries;
  for (const Entry &each : steps.entries)
    entries.push_back(table(bodies(each)));
  llvm::Constant *prepare =
      steps.prepare ? global(body(*steps.prepare)) : null();
  onDevice.clear();
  return record({number(program.target.sm), number(program.target.isExact),
                 kernels, number(program.code.kernels.size()), table(entries),
                 prepare, number(steps.preparedBytes),
                 external("nncc_cuda_backend")});
}

//===----------------------------------------------------------------------===//
// The model
//===----------------------------------------------------------------------===//

Descriptor::Constants Descriptor::aliases(ModuleOp model,
                                          const Program &program) {
  Constants rows;
  llvm::StringMap<uint64_t> numbers;
  for (auto [i, tensor] : llvm::enumerate(program.state))
    numbers[tensor.name] = i;
  if (auto list = model->getAttrOfType<DictionaryAttr>(aliasesAttr))
    for (NamedAttribute alias : list) {
      auto path = cast<StringAttr>(alias.getValue()).getValue();
      rows.push_back(record(
          {text(alias.getName().strref()), number(numbers.lookup(path))}));
    }
  return rows;
}

llvm::Constant *Descriptor::bytes(std::string_view data) {
  llvm::StringRef text(data.data(), data.size());
  auto *variable = cast<llvm::GlobalVariable>(
      global(llvm::ConstantDataArray::getString(context, text, false)));
  variable->setAlignment(llvm::Align(64));
  return variable;
}

/// A record of the embedded weights; null if there are none.
llvm::Constant *Descriptor::embeddedState(const EmbeddedWeights *weights,
                                          const Program &program) {
  if (!weights)
    return null();
  Constants rows;
  for (auto [i, data] : llvm::enumerate(weights->tensors))
    rows.push_back(program.isUsed[i] && data.data() ? bytes(data) : null());
  return global(record({table(rows), bytes(weights->prepared)}));
}

llvm::Constant *Descriptor::hash(llvm::ArrayRef<TensorInfo> list) {
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

/// The signatures of a program alone.
static void dropSteps(Program &program) {
  for (Entry &entry : program.entries)
    for (Body &any : entry.bodies)
      for (Body *body = &any; body; body = body->accumulate.get()) {
        body->steps.clear();
        body->arenaBytes = 0;
      }
  program.prepare = nullptr;
  program.preparedBytes = 0;
}

void Descriptor::add(ModuleOp model, const TargetInfo *cpu,
                     llvm::ArrayRef<DeviceProgram> devices,
                     const EmbeddedWeights *embedded) {
  Program program = programOf(model);
  if (!cpu)
    dropSteps(program);
  if (!devices.empty() && !devices.front().target.sm)
    (new llvm::GlobalVariable(module, pointer, false,
                              llvm::GlobalValue::ExternalLinkage, null(),
                              emulatorSlot))
        ->setVisibility(llvm::GlobalValue::HiddenVisibility);
  Constants cudas;
  for (const DeviceProgram &each : devices) {
    Program steps = programOf(each.model);
    for (auto [used, also] : llvm::zip_equal(program.isUsed, steps.isUsed))
      used = used || also;
    cudas.push_back(device(each, steps));
  }
  Constants entries;
  for (const Entry &each : program.entries)
    entries.push_back(entry(each));
  llvm::StringRef name =
      model->getAttrOfType<StringAttr>(modelNameAttr).getValue();
  auto *i32 = llvm::Type::getInt32Ty(context);
  llvm::Constant *compiler = text(versionText);
  llvm::Constant *nameText = text(name), *cpuText = text(cpu ? cpu->cpu : "");
  llvm::Constant *entryTable = table(entries);
  llvm::Constant *state = tensors(program.state);
  llvm::Constant *prepare =
      program.prepare ? global(body(*program.prepare)) : null();
  Constants aliasRows = aliases(model, program);
  llvm::Constant *descriptor =
      global(record({llvm::ConstantInt::get(i32, NNCC_ABI_VERSION),
                     llvm::ConstantInt::get(i32, 0),
                     compiler,
                     nameText,
                     cpuText,
                     number(cpu ? cpu->requiredFeatures : 0),
                     entryTable,
                     number(entries.size()),
                     state,
                     number(program.state.size()),
                     prepare,
                     number(program.preparedBytes),
                     table(aliasRows),
                     number(aliasRows.size()),
                     embeddedState(embedded, program),
                     hash(program.state),
                     text(program.training),
                     text(program.graph),
                     table(cudas),
                     number(cudas.size())}));
  auto *type = llvm::FunctionType::get(pointer, false);
  auto *function =
      llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage,
                             (name + "_model").str(), module);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "", function));
  b.CreateRet(descriptor);
}

void addDescriptor(llvm::Module &module, ModuleOp model, const TargetInfo *cpu,
                   llvm::ArrayRef<DeviceProgram> devices,
                   const EmbeddedWeights *embedded) {
  Descriptor(module).add(model, cpu, devices, embedded);
}

} // namespace nncc
