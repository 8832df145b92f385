/* This process, and what it starts, as an older x86 CPU: LD_PRELOAD it.
 *
 * Libraries choose their kernels by what the instruction CPUID says. Linux makes that instruction fault on request
 * (arch_prctl(2), ARCH_SET_CPUID; Intel CPUs since Ivy Bridge, "cpuid_fault" among the flags of /proc/cpuinfo); here the
 * fault is answered with the real CPU's values less what the other one does not have, and the flags of /proc/cpuinfo are
 * shown without that as well. Instructions run natively, at full speed: a program that uses one without asking is not
 * stopped, as an emulator would stop it.
 *
 * Compiled with one of -DKEEP_NOTHING (AVX2 only), -DKEEP_AVX_VNNI, -DKEEP_AVX512 (without VNNI), -DKEEP_AVX512_VNNI (all
 * but AMX). Bits: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2A, CPUID.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
#define BIT(n) (1u << (n))

static int (*real_sigaction)(int, const struct sigaction *, struct sigaction *);
static struct sigaction own_fault; /* what the program itself asked for on SIGSEGV */

static void masked(uint32_t leaf, uint32_t sub, uint32_t r[4]) { /* r: eax, ebx, ecx, edx */
  if (leaf == 7 && sub == 0) {
    r[3] &= ~(BIT(22) | BIT(24) | BIT(25)); /* AMX */
#ifndef KEEP_AVX512_VNNI
    r[2] &= ~BIT(11);               /* AVX512_VNNI */
    r[3] &= ~(BIT(8) | BIT(23));    /* VP2INTERSECT, AVX512_FP16 */
#ifndef KEEP_AVX512
    r[1] &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31)); /* F, DQ, IFMA, PF, ER, CD, BW, VL */
    r[2] &= ~(BIT(1) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(12) | BIT(14)); /* VBMI, VBMI2, GFNI, VAES, VPCLMULQDQ, BITALG, VPOPCNTDQ */
    r[3] &= ~(BIT(2) | BIT(3));     /* 4VNNIW, 4FMAPS */
#endif
#endif
  } else if (leaf == 7 && sub == 1) {
#if defined KEEP_AVX512_VNNI
    r[0] &= ~BIT(21);               /* AMX-FP16 */
#elif defined KEEP_AVX_VNNI
    r[0] &= BIT(4), r[1] = r[2] = r[3] = 0;
#else
    r[0] = r[1] = r[2] = r[3] = 0;  /* AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA, AVX-VNNI-INT8 ... */
#endif
  } else if (leaf == 0x1d || leaf == 0x1e || leaf == 0x24) {
    r[0] = r[1] = r[2] = r[3] = 0;  /* AMX tiles, AVX10 */
  }
}

static void faulted(int signal_number, siginfo_t *information, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const unsigned char *at = (const unsigned char *)registers[REG_RIP];
  /* CPUID faults as a general protection: its address is not that of data. Anything else is the program's own fault. */
  if (information->si_code == SI_KERNEL && at[0] == 0x0f && at[1] == 0xa2) {
    uint32_t leaf = (uint32_t)registers[REG_RAX], sub = (uint32_t)registers[REG_RCX], r[4];
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    masked(leaf, sub, r);
    registers[REG_RAX] = r[0], registers[REG_RBX] = r[1], registers[REG_RCX] = r[2], registers[REG_RDX] = r[3];
    registers[REG_RIP] += 2;
  } else if (own_fault.sa_flags & SA_SIGINFO && own_fault.sa_sigaction) {
    own_fault.sa_sigaction(signal_number, information, context);
  } else if (own_fault.sa_handler != SIG_DFL && own_fault.sa_handler != SIG_IGN) {
    own_fault.sa_handler(signal_number);
  } else {
    struct sigaction plain = {.sa_handler = SIG_DFL};
    real_sigaction(SIGSEGV, &plain, NULL); /* the instruction faults again, and ends the program as it would have */
  }
}

static void begin(void) {
  if (real_sigaction) return;
  real_sigaction = dlsym(RTLD_NEXT, "sigaction");
  struct sigaction ours = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO | SA_NODEFER};
  real_sigaction(SIGSEGV, &ours, NULL);
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) {
    const char *says = "edgecomp: this CPU or kernel cannot make CPUID fault\n";
    (void)!write(2, says, strlen(says));
    _exit(70);
  }
}

__attribute__((constructor)) static void at_start(void) { begin(); }

/* A program's handler for SIGSEGV, such as Python's faulthandler, comes second. */
int sigaction(int number, const struct sigaction *wanted, struct sigaction *before) {
  begin();
  if (number != SIGSEGV) return real_sigaction(number, wanted, before);
  if (before) *before = own_fault;
  if (wanted) own_fault = *wanted;
  return 0;
}

sighandler_t signal(int number, sighandler_t handler) {
  struct sigaction wanted = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
  return sigaction(number, &wanted, &before) ? SIG_ERR : before.sa_handler;
}

static int begins(const char *word, const char *with) { return !strncmp(word, with, strlen(with)); }

static int hidden(const char *word) {
  if (begins(word, "amx_") || begins(word, "avx10")) return 1;
#if defined KEEP_AVX512_VNNI
  return 0;
#elif defined KEEP_AVX512
  return begins(word, "avx_vnni") || begins(word, "avx_ifma") || begins(word, "avx512_vnni") || begins(word, "avx512_bf16") ||
         begins(word, "avx512_fp16") || begins(word, "avx512_vp2intersect");
#else
#ifdef KEEP_AVX_VNNI
  if (begins(word, "avx_vnni") && word[8] != '_') return 0;
#endif
  return begins(word, "avx512") || begins(word, "avx_vnni") || begins(word, "avx_ifma") || begins(word, "gfni") ||
         begins(word, "vaes") || begins(word, "vpclmulqdq");
#endif
}

/* A file in memory with /proc/cpuinfo less the flags that are hidden. */
static int cpuinfo(void) {
  int from = (int)syscall(SYS_openat, AT_FDCWD, "/proc/cpuinfo", O_RDONLY), to = memfd_create("cpuinfo", 0);
  FILE *in = fdopen(from, "r");
  char *line = NULL;
  size_t size = 0;
  while (in && getline(&line, &size, in) > 0) {
    int flags = !strncmp(line, "flags", 5);
    for (char *word = strtok(line, flags ? " " : ""); word; word = strtok(NULL, flags ? " " : ""))
      if (!flags || !hidden(word)) dprintf(to, flags ? "%s " : "%s", word);
    if (flags) dprintf(to, "\n");
  }
  free(line);
  if (in) fclose(in);
  lseek(to, 0, SEEK_SET);
  return to;
}

#define OPENS(name)                                                     \
  int name(const char *path, int flags, ...) {                          \
    if (!strcmp(path, "/proc/cpuinfo")) return cpuinfo();               \
    va_list more;                                                       \
    va_start(more, flags);                                              \
    int mode = va_arg(more, int);                                       \
    va_end(more);                                                       \
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);       \
  }
OPENS(open)
OPENS(open64)

/* What this process starts is such a CPU as well, also where it is given another environment; but no emulator, which has a CPU of
 * its own, and whose program has another machine's libraries. */
int execve(const char *path, char *const arguments[], char *const environment[]) {
  const char *name = strrchr(path, '/'), *own = getenv("LD_PRELOAD");
  int emulator = !strncmp(name ? name + 1 : path, "qemu-", 5);
  size_t count = 0, kept = 0;
  while (environment && environment[count]) count++;
  char **given = calloc(count + 2, sizeof *given), *ours = NULL;
  for (size_t i = 0; i < count; i++)
    if (strncmp(environment[i], "LD_PRELOAD=", 11)) given[kept++] = environment[i];
  if (!emulator && own && asprintf(&ours, "LD_PRELOAD=%s", own) > 0) given[kept++] = ours;
  int failed = (int)syscall(SYS_execve, path, arguments, given);
  free(ours);
  free(given);
  return failed;
}

#define FOPENS(name)                                                    \
  FILE *name(const char *path, const char *mode) {                      \
    if (!strcmp(path, "/proc/cpuinfo")) return fdopen(cpuinfo(), mode); \
    FILE *(*real)(const char *, const char *) = dlsym(RTLD_NEXT, #name); \
    return real(path, mode);                                            \
  }
FOPENS(fopen)
FOPENS(fopen64)
