//! The program that is process 1 in a sandbox with `--init`.
//!
//! It waits for all who end, passes signals on to one child, and ends as that one does. Whoever is root
//! in a sandbox can look into process 1, so there is to be nothing in it: no memory of `sandbox`, no
//! environment, no open file, no library of the host. So it makes its system calls itself. It is started
//! with all signals blocked, and takes them one after another.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::mem::MaybeUninit;

// Numbers are in signal(7), sigaction(2), wait(2) and prctl(2).
const SIGINT: usize = 2;
const SIGQUIT: usize = 3;
const SIGCHLD: usize = 17;
const SIGTSTP: usize = 20;
const SIGWINCH: usize = 28;
const SI_KERNEL: i32 = 0x80;
const WNOHANG: usize = 1;
const PR_SET_NAME: usize = 15;

#[cfg(target_arch = "x86_64")]
mod machine {
    pub const READ: usize = 0;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const PRCTL: usize = 157;
    pub const EXIT_GROUP: usize = 231;
    pub const SIGNALFD4: usize = 289;
}

#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
mod machine {
    pub const READ: usize = 63;
    pub const SIGNALFD4: usize = 74;
    pub const EXIT_GROUP: usize = 94;
    pub const KILL: usize = 129;
    pub const PRCTL: usize = 167;
    pub const WAIT4: usize = 260;
}

const CLOSE_RANGE: usize = 436;

use machine::*;

// The kernel leaves the number of arguments and the arguments where the stack pointer is.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call main");
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl main");
#[cfg(target_arch = "riscv64")]
global_asm!(".globl _start", "_start:", "mv a0, sp", "call main");

fn call(number: usize, arguments: [usize; 4]) -> isize {
    let [a, b, c, d] = arguments;
    let answer: isize;
    // SAFETY: what the kernel writes to is on our stack, and as large as it wants it.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") number => answer, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => answer, in("x1") b, in("x2") c,
            in("x3") d, options(nostack));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "riscv64")]
    unsafe {
        asm!("ecall", in("a7") number, inlateout("a0") a => answer, in("a1") b, in("a2") c,
            in("a3") d, options(nostack));
    }
    answer
}

/// # Safety
/// `stack` is where the kernel leaves the arguments: their number, then a pointer to each.
#[unsafe(no_mangle)]
unsafe extern "C" fn main(stack: *const *const u8) -> ! {
    // SAFETY: the one argument is the number of the child.
    let child = unsafe { number(*stack.add(2)) };
    call(CLOSE_RANGE, [0, u32::MAX as usize, 0, 0]);
    call(PRCTL, [PR_SET_NAME, c"init".as_ptr() as usize, 0, 0]);
    let all = u64::MAX;
    let signals = call(SIGNALFD4, [usize::MAX, &raw const all as usize, size_of::<u64>(), 0]);
    loop {
        wait_for_all(child);
        let (signal, code) = next(signals as usize);
        let of_terminal = matches!(signal, SIGINT | SIGQUIT | SIGTSTP | SIGWINCH);
        // What a terminal sends it sends to the child too.
        if signal != SIGCHLD && !(of_terminal && code == SI_KERNEL) {
            call(KILL, [child, signal, 0, 0]);
        }
    }
}

/// # Safety
/// `digits` is a text of digits that ends with a zero.
unsafe fn number(mut digits: *const u8) -> usize {
    let mut number = 0;
    // SAFETY: it ends where the text does.
    unsafe {
        while *digits != 0 {
            number = number * 10 + (*digits - b'0') as usize;
            digits = digits.add(1);
        }
    }
    number
}

/// Waits for all who have ended; when the child has, so do we.
fn wait_for_all(child: usize) {
    let mut status: i32 = 0;
    loop {
        let ended = call(WAIT4, [usize::MAX, &raw mut status as usize, WNOHANG, 0]);
        if ended <= 0 {
            return;
        }
        if ended as usize == child {
            let signal = status & 0x7f;
            let status = if signal == 0 { status >> 8 & 0xff } else { 128 + signal };
            call(EXIT_GROUP, [status as usize, 0, 0, 0]);
        }
    }
}

/// The next signal, and where it is from.
fn next(signals: usize) -> (usize, i32) {
    let mut about = MaybeUninit::<[i32; 32]>::uninit();
    let size = size_of::<[i32; 32]>();
    if call(READ, [signals, about.as_mut_ptr() as usize, size, 0]) < 0 {
        return (SIGCHLD, 0); // interrupted: look who has ended
    }
    // SAFETY: it has been filled in: number, error, code, as signalfd(2) has them.
    let about = unsafe { about.assume_init() };
    (about[0] as usize, about[2])
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        call(EXIT_GROUP, [125, 0, 0, 0]);
    }
}
