/* The emulated CUDA driver library of rehearsed hosts: the part of libcuda that our memory test calls.
 *
 * It answers from the text file of nvml.c, read again at each cuInit, and knows these lines of it beside the devices:
 *
 *     mig 3 7               as for NVML; without CUDA_VISIBLE_DEVICES, CUDA shows the whole devices, else one slice
 *     slow 3 1              this device copies at a twentieth of its speed
 *     diag-fails 3 1        one bit of its memory is always 1, at 1 MiB
 *     cuda-wrong 3 100      the same at so many MiB
 *     cuda-memory 3 1300    how fast it copies within its memory, in GB/s read and written (8000)
 *     cuda-host 3 25        from and to the host's memory, in GB/s (400)
 *     cuda-peer 3 240       from and to other devices, in GB/s; 0: it reaches none (0)
 *     cuda-busy 3 1000      another process has so many MiB of its memory (0)
 *     cuda-init 0 802       cuInit fails with this CUresult; any index (0)
 *     cuda-retain 3 46      so does the making of its context (0)
 *     cuda-copy 3 214       a copy from it fails so, and all calls after that (0)
 *     cuda-hangs 3 1        a copy to it never ends
 *     cuda-dies 3 1         the making of its context takes the process along
 *
 * Copies are real copies in the host's memory: of a device's gigabytes only the blocks that differ are kept, so a
 * device of 80 GB needs a few MB. No copy takes time: each device has a clock of its own, which every copy puts
 * forward by what it would take at the speeds above, and events tell that time. So a number does not depend on the
 * machine that emulates it.
 *
 * The two libraries beside this file are built as those of nvml.c, and for the same reason:
 *
 *     for arch in x86_64 aarch64; do
 *         /tmp/zig/bin/python -m ziglang cc -target $arch-linux-gnu.2.17 -shared -fPIC -Os -s \
 *             -Wall -Wextra -Werror -Wl,-soname,libcuda.so.1 -o libcuda-$arch.so cuda.c
 *     done
 *     sha256sum cuda.c > cuda.sha256
 *
 * Names, signatures and codes: NVIDIA's CUDA driver API (cuda.h). The code here is ours.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201, PEER_ACCESS_UNSUPPORTED = 217, INVALID_HANDLE = 400, PEER_ACCESS_ALREADY_ENABLED = 704
};
enum { MOST_DEVICES = 64, MOST_FACTS = 512, MOST_ALLOCATIONS = 256, MOST_HOST = 64, BLOCK = 1 << 20, SLOW_SHARE = 20 };
enum { MEMORY_GB_S = 8000, HOST_GB_S = 400, STUCK_AT_MIB = 1, RESERVED_SHARE = 32, WHOLE = -1 };

typedef int cu_result;
typedef unsigned long long cu_pointer;
typedef struct { unsigned references; unsigned char bytes[BLOCK]; } block;
typedef struct { cu_pointer base; size_t size; int device; block **blocks; } allocation;
typedef struct { int gpu, slot, retained, failed; double clock_ms; size_t used; unsigned long long peers; } device;
typedef struct { int recorded; double at_ms; } event;

static int initialized, gpu_count, device_count, other_count, fact_count;
static unsigned long long memory_mib;
static char gpu_name[96];
static struct { unsigned index; int value; char word[16]; } facts[MOST_FACTS];
static struct { int index; unsigned long long memory_mib; char name[96]; } others[MOST_DEVICES];
static device devices[MOST_DEVICES];
static allocation allocations[MOST_ALLOCATIONS];
static void *host_buffers[MOST_HOST];
static __thread device *current;

static void read_line(const char *line)
{
    if (other_count < MOST_DEVICES && sscanf(line, "device %d %llu %95[^\n]", &others[other_count].index,
                                             &others[other_count].memory_mib, others[other_count].name) == 3)
        other_count++;
    else if (fact_count < MOST_FACTS && sscanf(line, "%15[a-z-] %u %d", facts[fact_count].word,
                                               &facts[fact_count].index, &facts[fact_count].value) == 3)
        fact_count++;
    else
        sscanf(line, "%d %llu %95[^\n]", &gpu_count, &memory_mib, gpu_name);
}

static int read_configuration(void)
{
    const char *path = getenv("ACCEL_EMULATED_NVML");
    FILE *file = fopen(path && *path ? path : "/etc/accel-emulated-nvml", "r");
    char line[160];

    gpu_count = device_count = other_count = fact_count = 0;
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        read_line(line);
    fclose(file);
    if (gpu_count > MOST_DEVICES)
        gpu_count = MOST_DEVICES;
    return 1;
}

static int fact(int gpu, const char *word, int otherwise)
{
    int i;

    for (i = 0; i < fact_count; i++)
        if ((int)facts[i].index == gpu && !strcmp(facts[i].word, word))
            return facts[i].value;
    return otherwise;
}

static void identify(int gpu, int slot, char *text, size_t length)
{
    if (slot == WHOLE)
        snprintf(text, length, "GPU-00000000-0000-0000-0000-%012x", (unsigned)gpu);
    else
        snprintf(text, length, "MIG-00000000-0000-0000-%04x-%012x", (unsigned)slot + 1, (unsigned)gpu);
}

static void show(int gpu, int slot)
{
    memset(&devices[device_count], 0, sizeof devices[0]);
    devices[device_count].gpu = gpu;
    devices[device_count++].slot = slot;
}

/* Shows the device that a word of CUDA_VISIBLE_DEVICES means; 0 where there is none, which ends the list. */
static int show_named(const char *word)
{
    char text[64], *end;
    int gpu, slot, slots;
    long number = strtol(word, &end, 10);

    if (*word && !*end) {
        if (number < 0 || number >= gpu_count)
            return 0;
        show((int)number, fact((int)number, "mig", -1) > 0 ? 0 : WHOLE);
        return 1;
    }
    for (gpu = 0; gpu < gpu_count; gpu++) {
        slots = fact(gpu, "mig", -1);
        for (slot = WHOLE; slot < (slots > 0 ? slots : 0); slot++) {
            identify(gpu, slot, text, sizeof text);
            if (!strncmp(word, text, strlen(word)) && strlen(word) > 4 && (slot == WHOLE) == (slots < 0)) {
                show(gpu, slot);
                return 1;
            }
        }
    }
    return 0;
}

static void show_devices(void)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    char words[2048], *word, *rest = NULL;
    int gpu;

    if (visible) {
        snprintf(words, sizeof words, "%s", visible);
        for (word = strtok_r(words, ",", &rest); word && show_named(word); word = strtok_r(NULL, ",", &rest))
            if (devices[device_count - 1].slot != WHOLE)
                return; /* CUDA uses one slice at a time. */
        return;
    }
    for (gpu = 0; gpu < gpu_count; gpu++)
        if (fact(gpu, "mig", -1) < 0)
            show(gpu, WHOLE);
    for (gpu = 0; gpu < gpu_count && !device_count; gpu++)
        if (fact(gpu, "mig", -1) > 0)
            show(gpu, 0);
}

cu_result cuInit(unsigned flags)
{
    cu_result code;
    int gpu;

    if (flags)
        return INVALID_VALUE;
    if (!read_configuration())
        return NO_DEVICE;
    for (code = SUCCESS, gpu = 0; gpu < gpu_count && code == SUCCESS; gpu++)
        code = fact(gpu, "cuda-init", SUCCESS);
    if (code != SUCCESS)
        return code;
    show_devices();
    initialized = 1;
    return device_count ? SUCCESS : NO_DEVICE;
}

cu_result cuDeviceGetCount(int *count)
{
    if (!initialized)
        return NOT_INITIALIZED;
    *count = device_count;
    return SUCCESS;
}

static cu_result check(int number)
{
    if (!initialized)
        return NOT_INITIALIZED;
    return number >= 0 && number < device_count ? SUCCESS : INVALID_DEVICE;
}

cu_result cuDeviceGet(int *number, int ordinal)
{
    cu_result code = check(ordinal);

    if (code == SUCCESS)
        *number = ordinal;
    return code;
}

static int other(int gpu)
{
    int i;

    for (i = 0; i < other_count; i++)
        if (others[i].index == gpu)
            return i;
    return -1;
}

static size_t total_bytes(const device *shown)
{
    int found = other(shown->gpu);
    unsigned long long mib = found < 0 ? memory_mib : others[found].memory_mib;

    return (size_t)(shown->slot == WHOLE ? mib : mib / 8) << 20;
}

cu_result cuDeviceGetName(char *name, int length, int number)
{
    cu_result code = check(number);
    int found;

    if (code != SUCCESS)
        return code;
    found = other(devices[number].gpu);
    snprintf(name, (size_t)length, "%s%s", found < 0 ? gpu_name : others[found].name,
             devices[number].slot == WHOLE ? "" : " MIG 1g");
    return SUCCESS;
}

cu_result cuDeviceGetUuid_v2(unsigned char *uuid, int number)
{
    cu_result code = check(number);
    unsigned gpu, slot;

    if (code != SUCCESS)
        return code;
    gpu = (unsigned)devices[number].gpu;
    slot = (unsigned)(devices[number].slot + 1);
    memset(uuid, 0, 16);
    uuid[8] = (unsigned char)(slot >> 8);
    uuid[9] = (unsigned char)slot;
    uuid[14] = (unsigned char)(gpu >> 8);
    uuid[15] = (unsigned char)gpu;
    return SUCCESS;
}

cu_result cuDevicePrimaryCtxRetain(device **context, int number)
{
    cu_result code = check(number);

    if (code != SUCCESS)
        return code;
    if (fact(devices[number].gpu, "cuda-dies", 0))
        abort();
    code = fact(devices[number].gpu, "cuda-retain", SUCCESS);
    if (code != SUCCESS)
        return code;
    devices[number].retained++;
    *context = &devices[number];
    return SUCCESS;
}

cu_result cuCtxSetCurrent(device *context)
{
    if (!initialized)
        return NOT_INITIALIZED;
    if (context && !context->retained)
        return INVALID_CONTEXT;
    current = context;
    return SUCCESS;
}

static cu_result ready(void)
{
    if (!initialized)
        return NOT_INITIALIZED;
    if (!current || !current->retained)
        return INVALID_CONTEXT;
    return current->failed;
}

cu_result cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    cu_result code = ready();
    size_t reserved;

    if (code != SUCCESS)
        return code;
    *total = total_bytes(current);
    reserved = *total / RESERVED_SHARE + ((size_t)fact(current->gpu, "cuda-busy", 0) << 20) + current->used;
    *free_bytes = reserved < *total ? *total - reserved : 0;
    return SUCCESS;
}

static cu_pointer first_address(const device *shown)
{
    return 0x700000000000ull + ((cu_pointer)(shown - devices) << 40);
}

cu_result cuMemAlloc_v2(cu_pointer *address, size_t size)
{
    cu_result code = ready();
    size_t free_bytes, total, whole = (size + BLOCK - 1) / BLOCK * BLOCK;
    cu_pointer next;
    int i, found = -1;

    if (code != SUCCESS)
        return code;
    if (!size)
        return INVALID_VALUE;
    cuMemGetInfo_v2(&free_bytes, &total);
    if (whole > free_bytes)
        return OUT_OF_MEMORY;
    next = first_address(current);
    for (i = 0; i < MOST_ALLOCATIONS; i++) {
        if (!allocations[i].base)
            found = found < 0 ? i : found;
        else if (&devices[allocations[i].device] == current && allocations[i].base + allocations[i].size > next)
            next = (allocations[i].base + allocations[i].size + BLOCK - 1) / BLOCK * BLOCK;
    }
    if (found < 0 || !(allocations[found].blocks = calloc(whole / BLOCK, sizeof(block *))))
        return OUT_OF_MEMORY;
    allocations[found].base = *address = next;
    allocations[found].size = size;
    allocations[found].device = (int)(current - devices);
    current->used += whole;
    return SUCCESS;
}

static void drop(block *old)
{
    if (old && !--old->references)
        free(old);
}

static void release(allocation *one)
{
    size_t i, count = (one->size + BLOCK - 1) / BLOCK;

    for (i = 0; i < count; i++)
        drop(one->blocks[i]);
    free(one->blocks);
    devices[one->device].used -= count * BLOCK;
    one->base = 0;
}

cu_result cuMemFree_v2(cu_pointer address)
{
    cu_result code = ready();
    int i;

    if (code != SUCCESS)
        return code;
    for (i = 0; i < MOST_ALLOCATIONS; i++)
        if (address && allocations[i].base == address) {
            release(&allocations[i]);
            return SUCCESS;
        }
    return INVALID_VALUE;
}

cu_result cuDevicePrimaryCtxRelease_v2(int number)
{
    cu_result code = check(number);
    int i;

    if (code != SUCCESS)
        return code;
    if (!devices[number].retained)
        return INVALID_CONTEXT;
    if (--devices[number].retained)
        return SUCCESS;
    for (i = 0; i < MOST_ALLOCATIONS; i++)
        if (allocations[i].base && allocations[i].device == number)
            release(&allocations[i]);
    return SUCCESS;
}

cu_result cuMemHostAlloc(void **buffer, size_t size, unsigned flags)
{
    cu_result code = ready();
    int i;

    if (code != SUCCESS)
        return code;
    for (i = 0; i < MOST_HOST && host_buffers[i]; i++)
        ;
    if (!size || flags > 7)
        return INVALID_VALUE;
    if (i == MOST_HOST || !(host_buffers[i] = malloc(size)))
        return OUT_OF_MEMORY;
    *buffer = host_buffers[i];
    return SUCCESS;
}

cu_result cuMemFreeHost(void *buffer)
{
    int i;

    for (i = 0; i < MOST_HOST; i++)
        if (buffer && host_buffers[i] == buffer) {
            free(buffer);
            host_buffers[i] = NULL;
            return SUCCESS;
        }
    return INVALID_VALUE;
}

/* The allocation that has all of these bytes; NULL where none has: a copy beyond an allocation is refused. */
static allocation *holder(cu_pointer address, size_t size)
{
    int i;

    for (i = 0; i < MOST_ALLOCATIONS; i++)
        if (allocations[i].base && address >= allocations[i].base &&
            address - allocations[i].base <= allocations[i].size &&
            size <= allocations[i].size - (address - allocations[i].base))
            return &allocations[i];
    return NULL;
}

static block *own(block **place)
{
    block *fresh;

    if (*place && (*place)->references == 1)
        return *place;
    fresh = calloc(1, sizeof *fresh);
    if (!fresh)
        abort();
    fresh->references = 1;
    if (*place)
        memcpy(fresh->bytes, (*place)->bytes, BLOCK);
    drop(*place);
    return *place = fresh;
}

/* What is broken in a device's memory, in the block that was just written. */
static void spoil(allocation *one, size_t number)
{
    device *shown = &devices[one->device];
    int at = fact(shown->gpu, "cuda-wrong", fact(shown->gpu, "diag-fails", 0) ? STUCK_AT_MIB : -1);

    if (at >= 0 && one->base + number * BLOCK == first_address(shown) + (cu_pointer)at * BLOCK)
        own(&one->blocks[number])->bytes[0] |= 16;
}

static void put(allocation *one, size_t offset, const unsigned char *from, size_t size)
{
    size_t part, at;

    for (; size; size -= part, offset += part, from += part) {
        at = offset % BLOCK;
        part = size < BLOCK - at ? size : BLOCK - at;
        memcpy(own(&one->blocks[offset / BLOCK])->bytes + at, from, part);
        spoil(one, offset / BLOCK);
    }
}

static void get(const allocation *one, size_t offset, unsigned char *to, size_t size)
{
    size_t part, at;
    const block *found;

    for (; size; size -= part, offset += part, to += part) {
        at = offset % BLOCK;
        part = size < BLOCK - at ? size : BLOCK - at;
        found = one->blocks[offset / BLOCK];
        if (found)
            memcpy(to, found->bytes + at, part);
        else
            memset(to, 0, part);
    }
}

static void move(allocation *to, size_t to_offset, const allocation *from, size_t from_offset, size_t size)
{
    static unsigned char buffer[BLOCK];
    size_t part;
    block *shared;

    for (; size; size -= part, to_offset += part, from_offset += part) {
        part = size < BLOCK ? size : BLOCK;
        if (part == BLOCK && to_offset % BLOCK == 0 && from_offset % BLOCK == 0 && from->blocks[from_offset / BLOCK]) {
            shared = from->blocks[from_offset / BLOCK];
            shared->references++;
            drop(to->blocks[to_offset / BLOCK]);
            to->blocks[to_offset / BLOCK] = shared;
            spoil(to, to_offset / BLOCK);
        } else {
            get(from, from_offset, buffer, part);
            put(to, to_offset, buffer, part);
        }
    }
}

static void pass_time(device *shown, size_t size, const char *word, int gb_s)
{
    double speed = fact(shown->gpu, word, gb_s);

    if (fact(shown->gpu, "slow", 0))
        speed /= SLOW_SHARE;
    shown->clock_ms += (double)size / (speed * 1e6);
}

cu_result cuMemcpyHtoDAsync_v2(cu_pointer to, const void *from, size_t size, void *stream)
{
    cu_result code = ready();
    allocation *one = holder(to, size);

    (void)stream;
    if (code != SUCCESS)
        return code;
    if (!one || !from)
        return INVALID_VALUE;
    while (fact(current->gpu, "cuda-hangs", 0))
        pause();
    put(one, to - one->base, from, size);
    pass_time(current, size, "cuda-host", HOST_GB_S);
    return SUCCESS;
}

cu_result cuMemcpyDtoHAsync_v2(void *to, cu_pointer from, size_t size, void *stream)
{
    cu_result code = ready();
    allocation *one = holder(from, size);

    (void)stream;
    if (code != SUCCESS)
        return code;
    if (!one || !to)
        return INVALID_VALUE;
    get(one, from - one->base, to, size);
    pass_time(current, size, "cuda-host", HOST_GB_S);
    /* As the driver: the copy was begun, and who waits for it is told. */
    current->failed = fact(current->gpu, "cuda-copy", SUCCESS);
    return SUCCESS;
}

cu_result cuMemcpyDtoDAsync_v2(cu_pointer to, cu_pointer from, size_t size, void *stream)
{
    cu_result code = ready();
    allocation *target = holder(to, size), *source = holder(from, size);

    (void)stream;
    if (code != SUCCESS)
        return code;
    if (!target || !source)
        return INVALID_VALUE;
    move(target, to - target->base, source, from - source->base, size);
    pass_time(current, 2 * size, "cuda-memory", MEMORY_GB_S);
    return SUCCESS;
}

cu_result cuDeviceCanAccessPeer(int *can, int number, int peer)
{
    cu_result code = check(number) != SUCCESS ? check(number) : check(peer);

    if (code != SUCCESS)
        return code;
    *can = number != peer && devices[number].slot == WHOLE && devices[peer].slot == WHOLE &&
           fact(devices[number].gpu, "cuda-peer", 0) > 0 && fact(devices[peer].gpu, "cuda-peer", 0) > 0;
    return SUCCESS;
}

cu_result cuCtxEnablePeerAccess(device *peer, unsigned flags)
{
    cu_result code = ready();
    unsigned long long bit;
    int can = 0;

    if (code != SUCCESS)
        return code;
    if (flags)
        return INVALID_VALUE;
    if (!peer || !peer->retained)
        return INVALID_CONTEXT;
    cuDeviceCanAccessPeer(&can, (int)(current - devices), (int)(peer - devices));
    if (!can)
        return PEER_ACCESS_UNSUPPORTED;
    bit = 1ull << (peer - devices);
    if (current->peers & bit)
        return PEER_ACCESS_ALREADY_ENABLED;
    current->peers |= bit;
    return SUCCESS;
}

cu_result cuMemcpyPeerAsync(cu_pointer to, device *to_context, cu_pointer from, device *from_context, size_t size,
                            void *stream)
{
    cu_result code = ready();
    allocation *target = holder(to, size), *source = holder(from, size);

    (void)stream;
    if (code != SUCCESS)
        return code;
    if (!to_context || !from_context || !to_context->retained || !from_context->retained)
        return INVALID_CONTEXT;
    if (!target || !source || &devices[target->device] != to_context || &devices[source->device] != from_context)
        return INVALID_VALUE;
    move(target, to - target->base, source, from - source->base, size);
    pass_time(current, size, "cuda-peer", HOST_GB_S);
    return SUCCESS;
}

cu_result cuCtxSynchronize(void) { return ready(); }

cu_result cuEventCreate(event **made, unsigned flags)
{
    cu_result code = ready();

    (void)flags;
    if (code != SUCCESS)
        return code;
    *made = calloc(1, sizeof **made);
    return *made ? SUCCESS : OUT_OF_MEMORY;
}

cu_result cuEventRecord(event *one, void *stream)
{
    cu_result code = ready();

    (void)stream;
    if (code != SUCCESS)
        return code;
    one->recorded = 1;
    one->at_ms = current->clock_ms;
    return SUCCESS;
}

cu_result cuEventSynchronize(event *one)
{
    return one ? ready() : INVALID_HANDLE;
}

cu_result cuEventElapsedTime(float *elapsed_ms, event *start, event *end)
{
    cu_result code = ready();

    if (code != SUCCESS)
        return code;
    if (!start || !end || !start->recorded || !end->recorded)
        return INVALID_HANDLE;
    *elapsed_ms = (float)(end->at_ms - start->at_ms);
    return SUCCESS;
}

cu_result cuEventDestroy_v2(event *one)
{
    free(one);
    return SUCCESS;
}

cu_result cuGetErrorName(cu_result code, const char **name)
{
    static const struct { int code; const char *name; } names[] = {
        {0, "CUDA_SUCCESS"}, {1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"},
        {3, "CUDA_ERROR_NOT_INITIALIZED"}, {34, "CUDA_ERROR_STUB_LIBRARY"}, {46, "CUDA_ERROR_DEVICE_UNAVAILABLE"},
        {100, "CUDA_ERROR_NO_DEVICE"}, {101, "CUDA_ERROR_INVALID_DEVICE"}, {201, "CUDA_ERROR_INVALID_CONTEXT"},
        {214, "CUDA_ERROR_ECC_UNCORRECTABLE"}, {217, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED"},
        {220, "CUDA_ERROR_NVLINK_UNCORRECTABLE"}, {400, "CUDA_ERROR_INVALID_HANDLE"},
        {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {704, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED"},
        {719, "CUDA_ERROR_LAUNCH_FAILED"}, {801, "CUDA_ERROR_NOT_SUPPORTED"}, {802, "CUDA_ERROR_SYSTEM_NOT_READY"},
        {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}, {999, "CUDA_ERROR_UNKNOWN"},
    };
    size_t i;

    *name = NULL;
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == code)
            *name = names[i].name;
    return *name ? SUCCESS : INVALID_VALUE;
}
