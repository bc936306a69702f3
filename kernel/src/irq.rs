//! Interrupts: the GICv3, hidden here behind numbers and handlers.
//!
//! A handler is a plain function that runs with interrupts masked and takes only locks of rank `WaitQueue` and later.
//! The distributor is set up once, the redistributor and the CPU interface by each CPU for itself
//! ([`init_cpu`]). A CPU's redistributor is found by its affinity, not by its place in the row.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};

use arch::cpu::MAX_CPUS;
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{
    GicCpuInterface, GicDistributor, GicError, GicRedistributor, SgiTarget, SgiTargetGroup,
};
use arm_gic::{IntId, InterruptGroup, Trigger};
use arrayvec::ArrayVec;
use platform::fdt::{self, AFFINITY, Interrupt};
use safe_mmio::UniqueMmioPointer;
use sync::{Mutex, Rank};
use units::{ByteLen, VirtAddr};

use crate::mmio::{self, DeviceError, MapError};

/// Numbers below this are interrupts; from here to 1023 are answers that mean there is none.
const LINES: usize = 1020;
/// Software-generated interrupts, sent from CPU to CPU.
const SGIS: u32 = 16;
/// Registers of one redistributor, at most: GICv4 has four frames of 64 KiB.
const REDISTRIBUTOR: u64 = 4 * FRAME;
/// Registers of the distributor, and of one frame of a redistributor.
const FRAME: u64 = 1 << 16;

/// Why an interrupt cannot be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IrqError {
    /// The controller is not there, or its registers cannot be mapped.
    Device(DeviceError),
    /// The controller is not one that this kernel drives, or refuses the number.
    Gic(GicError),
    /// There is no such interrupt.
    Number(u32),
    /// No redistributor has this CPU's affinity.
    NoRedistributor(u64),
    /// [`init`] has not run.
    NotReady,
    /// A handler is there already.
    Taken(u32),
    /// What should bring it about does not.
    Silent(u32),
}

impl fmt::Display for IrqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "interrupt controller: {error}"),
            Self::Gic(error) => write!(f, "interrupt controller: {error}"),
            Self::Number(id) => write!(f, "interrupt {id} does not exist"),
            Self::NoRedistributor(mpidr) => write!(f, "no redistributor for the CPU with affinity {mpidr:#x}"),
            Self::NotReady => write!(f, "the interrupt controller is not set up"),
            Self::Taken(id) => write!(f, "interrupt {id} has a handler already"),
            Self::Silent(id) => write!(f, "interrupt {id} does not come when it should"),
        }
    }
}

impl From<MapError> for IrqError {
    fn from(error: MapError) -> Self {
        Self::Device(error.into())
    }
}

impl From<GicError> for IrqError {
    fn from(error: GicError) -> Self {
        Self::Gic(error)
    }
}

/// The controller's registers.
struct Controller {
    distributor: GicDistributor<'static>,
    /// The redistributors as the tree gives them, each mapped as far as CPUs can be.
    regions: ArrayVec<(NonNull<GicrSgi>, ByteLen), 4>,
    /// Of each CPU that has come up.
    redistributors: [Option<NonNull<GicrSgi>>; MAX_CPUS],
}

// SAFETY: the pointers are device registers, mapped for ever on every CPU, and used only under the lock.
unsafe impl Send for Controller {}

static CONTROLLER: Mutex<Option<Controller>> = Mutex::new(Rank::Device, None);
/// The handler of each interrupt; null where there is none. Read in interrupts, hence no lock.
static HANDLERS: [AtomicPtr<()>; LINES] = [const { AtomicPtr::new(core::ptr::null_mut()) }; LINES];

/// Sets up the distributor, and this CPU's part.
///
/// # Errors
/// [`IrqError`].
pub(crate) fn init(gic: &fdt::Gic) -> Result<(), IrqError> {
    let at = gic.distributor.start();
    let registers = mmio::map(at, ByteLen::new(FRAME), "the registers of the GIC's distributor")?;
    if !is_gic_v3(registers) {
        return Err(IrqError::Device(DeviceError::Absent { wanted: "GICv3 distributor", at }));
    }
    // SAFETY: a GICv3 says of itself that it lies here; it is mapped once and for ever.
    let mut distributor = GicDistributor::new(unsafe { UniqueMmioPointer::new(registers.cast::<Gicd>()) });
    distributor.configure_default_settings();
    let mut regions = ArrayVec::new();
    for range in &gic.redistributors {
        let len = range.len().min(ByteLen::new(REDISTRIBUTOR * MAX_CPUS as u64));
        regions.push((mmio::map(range.start(), len, "the registers of the GIC's redistributors")?.cast::<GicrSgi>(), len));
    }
    *CONTROLLER.lock() = Some(Controller { distributor, regions, redistributors: [None; MAX_CPUS] });
    init_cpu()
}

/// Sets up this CPU's redistributor and interface; every CPU runs it once, on itself.
///
/// # Errors
/// [`IrqError::NoRedistributor`], [`IrqError::NotReady`].
pub(crate) fn init_cpu() -> Result<(), IrqError> {
    let mut controller = CONTROLLER.lock();
    let controller = controller.as_mut().ok_or(IrqError::NotReady)?;
    let found = controller.find_redistributor(arch::cpu::mpidr() & AFFINITY)?;
    controller.redistributors[arch::cpu::index()] = Some(found);
    let mut redistributor = controller.redistributor()?;
    GicCpuInterface::enable_system_register_el1();
    match redistributor.mark_core_awake() {
        Ok(()) | Err(GicError::AlreadyAwake) => {}
        Err(error) => return Err(error.into()),
    }
    redistributor.configure_default_settings();
    end_deactivates();
    GicCpuInterface::set_priority_mask(0xff);
    GicCpuInterface::enable_group1(true);
    Ok(())
}

/// Where the registers of CPU `cpu`'s redistributor are seen, once that CPU has set it up.
pub(crate) fn redistributor_of(cpu: usize) -> Option<VirtAddr> {
    let controller = CONTROLLER.lock();
    let registers = controller.as_ref()?.redistributors.get(cpu).copied()??;
    Some(VirtAddr::new(registers.addr().get() as u64))
}

/// Has the end of an interrupt deactivate it too, whatever the firmware had set.
fn end_deactivates() {
    // SAFETY: clears ICC_CTLR_EL1, by its encoding; of its writable bits, EOImode and CBPR, none is wanted. System
    // register access to the controller is on.
    unsafe { core::arch::asm!("msr s3_0_c12_c12_4, xzr", "isb", options(nostack, preserves_flags)) };
}

/// Says who handles an interrupt, and how its line works.
///
/// # Errors
/// [`IrqError`]; nothing has changed then.
pub(crate) fn register(interrupt: Interrupt, handler: fn()) -> Result<(), IrqError> {
    let id = number(interrupt.id)?;
    let slot = &HANDLERS[interrupt.id as usize];
    let free = core::ptr::null_mut();
    if slot.compare_exchange(free, handler as *mut (), Ordering::Release, Ordering::Relaxed).is_err() {
        return Err(IrqError::Taken(interrupt.id));
    }
    // The lines of software-generated interrupts are what they are.
    if interrupt.id < SGIS {
        return Ok(());
    }
    let trigger = match interrupt.trigger {
        fdt::Trigger::Edge => Trigger::Edge,
        fdt::Trigger::Level => Trigger::Level,
    };
    with_controller(|controller| match id.is_private() {
        true => Ok(controller.redistributor()?.set_trigger(id, trigger)?),
        false => {
            controller.distributor.set_trigger(id, trigger)?;
            Ok(controller.distributor.set_routing(id, Some(arch::cpu::mpidr() & AFFINITY))?)
        }
    })
}

/// Lets an interrupt through; one that is private to a CPU, to this CPU.
///
/// # Errors
/// [`IrqError`].
pub(crate) fn enable(id: u32) -> Result<(), IrqError> {
    switch(number(id)?, true)
}

/// Holds an interrupt back.
///
/// # Errors
/// [`IrqError`].
pub(crate) fn disable(id: u32) -> Result<(), IrqError> {
    switch(number(id)?, false)
}

/// Sends software-generated interrupt `id` to the CPU with affinity `mpidr`.
///
/// # Errors
/// [`IrqError::Number`] where `id` is not below 16.
pub(crate) fn send(id: u32, mpidr: u64) -> Result<(), IrqError> {
    if id >= SGIS {
        return Err(IrqError::Number(id));
    }
    let field = |shift: u32| (mpidr >> shift & 0xff) as u8;
    let target = SgiTarget::List {
        affinity3: field(32),
        affinity2: field(16),
        affinity1: field(8),
        target_list: 1 << (field(0) & 15),
    };
    // What the other CPU is to see must be stored before the interrupt reaches it.
    arch::barrier::dsb_ishst();
    Ok(GicCpuInterface::send_sgi(IntId::sgi(id), target, SgiTargetGroup::CurrentGroup1)?)
}

/// Handles every interrupt that is pending; called by the vector with interrupts masked. One that was withdrawn
/// meanwhile ("spurious") is no interrupt at all.
pub(crate) fn handle() {
    while let Some(id) = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1) {
        if id.raw_value() as usize >= LINES {
            return;
        }
        run_handler(id);
        // The device must have seen what silences it before the controller looks at its line again.
        arch::barrier::dsb_sy();
        GicCpuInterface::end_interrupt(id, InterruptGroup::Group1);
    }
}

fn run_handler(id: IntId) {
    let handler = HANDLERS[id.raw_value() as usize].load(Ordering::Acquire);
    if handler.is_null() {
        // It would come back for ever.
        let _ = switch(id, false);
        log::warn!("{id:?} has no handler and is switched off");
        return;
    }
    // SAFETY: only `register` stores here, and only such functions.
    let handler = unsafe { core::mem::transmute::<*mut (), fn()>(handler) };
    handler();
}

fn number(id: u32) -> Result<IntId, IrqError> {
    match IntId::try_from(id) {
        Ok(number) if (id as usize) < LINES => Ok(number),
        _ => Err(IrqError::Number(id)),
    }
}

fn switch(id: IntId, on: bool) -> Result<(), IrqError> {
    with_controller(|controller| match id.is_private() {
        true => Ok(controller.redistributor()?.enable_interrupt(id, on)?),
        false => Ok(controller.distributor.enable_interrupt(id, on)?),
    })
}

fn with_controller(act: impl FnOnce(&mut Controller) -> Result<(), IrqError>) -> Result<(), IrqError> {
    act(CONTROLLER.lock().as_mut().ok_or(IrqError::NotReady)?)
}

/// Whether an interrupt that is private to a CPU waits to be taken by this CPU.
pub(crate) fn is_pending(id: u32) -> bool {
    /// GICR_ISPENDR0, in the second frame.
    const PENDING: usize = FRAME as usize + 0x200;
    let redistributor = CONTROLLER.lock().as_ref().and_then(|all| all.redistributors[arch::cpu::index()]);
    let waiting = redistributor.and_then(|registers| mmio::probe(registers.cast(), PENDING));
    id < u32::BITS && waiting.is_some_and(|waiting| waiting >> id & 1 != 0)
}

/// Whether the frame of registers at `frame` is one of a GICv3 or later: by the architecture's revision in GICD_PIDR2 or
/// GICR_PIDR2 (Arm IHI 0069, 12.9.40).
fn is_gic_v3(frame: NonNull<u8>) -> bool {
    const PIDR2: usize = 0xffe8;
    matches!(mmio::probe(frame, PIDR2), Some(id) if id >> 4 & 0xf >= 3)
}

impl Controller {
    /// This CPU's redistributor.
    fn redistributor(&mut self) -> Result<GicRedistributor<'_>, IrqError> {
        let registers = self.redistributors[arch::cpu::index()].ok_or(IrqError::NotReady)?;
        // SAFETY: found in a mapped region by `find_redistributor`; `self` is borrowed while it is used.
        Ok(GicRedistributor::new(unsafe { UniqueMmioPointer::new(registers) }))
    }

    /// The registers of the redistributor of the CPU with affinity `mpidr`.
    fn find_redistributor(&self, mpidr: u64) -> Result<NonNull<GicrSgi>, IrqError> {
        for &(first, len) in &self.regions {
            let mut offset = 0;
            // Each is asked whether it is one: the tree may name more than there are.
            while offset + 2 * FRAME <= len.get()
                && let Some(at) = NonNull::new(first.as_ptr().wrapping_byte_add(offset as usize))
                && is_gic_v3(at.cast())
            {
                // SAFETY: a redistributor says of itself that it lies here; nobody else reads its registers now.
                let typer = GicRedistributor::new(unsafe { UniqueMmioPointer::new(at) }).typer();
                if typer.core_mpidr() == mpidr {
                    return Ok(at);
                }
                if typer.last_redistributor() {
                    break;
                }
                // One with virtual LPIs (GICv4) has two more frames.
                offset += if typer.virtual_lpis_supported() { 4 } else { 2 } * FRAME;
            }
        }
        Err(IrqError::NoRedistributor(mpidr))
    }
}
