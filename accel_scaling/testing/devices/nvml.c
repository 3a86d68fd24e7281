/* The emulated NVIDIA driver library of rehearsed hosts: the part of NVML that Ray and our probe call.
 *
 * It answers from a small text file, read again at each nvmlInit; its path is $ACCEL_EMULATED_NVML, by default
 * /etc/accel-emulated-nvml:
 *
 *     COUNT MEMORY_MIB NAME     what the driver sees, e.g. "8 40960 NVIDIA A100-SXM4-40GB"
 *     device INDEX MIB NAME     optional: this device is another product, e.g. "device 7 15360 Tesla T4"
 *     lost INDEX                optional: this device has fallen off the bus
 *     init CODE                 optional: nvmlInit fails with this nvmlReturn_t
 *     WORD INDEX VALUE          optional: one fact about one device, where it is not the default:
 *         ecc 3 2               uncorrected ECC errors since the driver was loaded (0)
 *         remap-failed 3 1      a row remapping has failed (0)
 *         remap-pending 3 1     a row remapping waits for a reset (0)
 *         remap-known 3 0       whether the device remaps rows: from Ampere on (1)
 *         pages-pending 3 1     a page waits for its retirement (0)
 *         recovery 3 1          nvmlDeviceGpuRecoveryAction_t; -1: the driver cannot tell (0)
 *         handle 3 4            asking for its handle fails with this nvmlReturn_t (0)
 *         mig 3 7               MIG mode is on, with so many slices; -1: it is off (-1)
 *         processes 3 2         so many processes compute on it (0)
 *         fabric 3 3            nvmlGpuFabricState_t of its NVLink fabric (0, not supported); -1: asking for it fails;
 *                               -2: it hangs; -3: it takes the process along
 *         fabric-status 3 0     nvmlReturn_t of its registration there (0)
 *         fabric-cluster 3 77   the end of the fabric's UUID; 0: all of the UUID is zero (0)
 *         fabric-clique 3 5     its clique in that fabric (0)
 *         events 3 0            whether it can report XIDs as events (1)
 *         xid 3 79              it reports this XID to those who wait for events when the line is added
 *
 * Without the file nvmlInit answers 9, driver not loaded.
 *
 * The two libraries beside this file are built from it, so that a machine without a compiler can rehearse:
 *
 *     python -m venv /tmp/zig && /tmp/zig/bin/pip install ziglang==0.17.1
 *     cd accel_scaling/testing/devices
 *     for arch in x86_64 aarch64; do
 *         /tmp/zig/bin/python -m ziglang cc -target $arch-linux-gnu.2.17 -shared -fPIC -Os -s \
 *             -Wall -Wextra -Werror -Wl,-soname,libnvidia-ml.so.1 -o libnvidia-ml-$arch.so nvml.c
 *     done
 *     sha256sum nvml.c > nvml.sha256
 *
 * Names, signatures and codes: NVIDIA's NVML API reference (nvml.h). The code here is ours.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9, TIMEOUT = 10, GPU_IS_LOST = 15, VERSION_MISMATCH = 25, UNKNOWN = 999
};

typedef int nvml_return;
typedef void *nvml_device;
typedef struct { unsigned long long total, free, used; } memory_v1;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    unsigned value_type;
    nvml_return code;
    union { unsigned number; unsigned long long wide; } value;
} field_value;
typedef struct { unsigned char uuid[16]; nvml_return status; unsigned clique; unsigned char state; } fabric_v1;
typedef struct {
    unsigned version;
    unsigned char uuid[16];
    nvml_return status;
    unsigned clique;
    unsigned char state;
    unsigned health_mask;
} fabric_v2;
typedef struct {
    nvml_device device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
} event_data;
typedef struct { unsigned told, registered; } *event_set;

enum { MOST_OTHERS = 64, UNCORRECTED = 1, VOLATILE = 0, FIELD_RECOVERY_ACTION = 230, VALUE_UNSIGNED = 1, MIG_SLOTS = 7, MANY_FACTS = 512 };
enum { HANDLE_MASK = 0xffff, SLICE_SHIFT = 16, PROCESS_BYTES = 24 };
enum { XID_EVENT = 8, NO_INSTANCE = -1, EVENT_POLL_MS = 200, MOST_REGISTERED = 32 };

static unsigned initialized, device_count;
static int lost_index, init_code;
static unsigned long long memory_mib;
static char device_name[96];
static struct { char word[16]; unsigned index; int value; } facts[MANY_FACTS];
static unsigned fact_count;
static struct { unsigned index; unsigned long long memory_mib; char name[96]; } others[MOST_OTHERS];
static unsigned other_count;

static void read_line(const char *line)
{
    if (other_count < MOST_OTHERS && sscanf(line, "device %u %llu %95[^\n]", &others[other_count].index,
                                            &others[other_count].memory_mib, others[other_count].name) == 3) {
        other_count++;
        return;
    }
    if (fact_count < MANY_FACTS && sscanf(line, "%15[a-z-] %u %d", facts[fact_count].word,
                                          &facts[fact_count].index, &facts[fact_count].value) == 3) {
        fact_count++;
        return;
    }
    if (sscanf(line, "lost %d", &lost_index) == 1 || sscanf(line, "init %d", &init_code) == 1)
        return;
    sscanf(line, "%u %llu %95[^\n]", &device_count, &memory_mib, device_name);
}

static FILE *configuration(void)
{
    const char *path = getenv("ACCEL_EMULATED_NVML");

    return fopen(path && *path ? path : "/etc/accel-emulated-nvml", "r");
}

static void read_configuration(void)
{
    char line[160];
    FILE *file = configuration();

    device_count = 0;
    memory_mib = 0;
    device_name[0] = 0;
    fact_count = 0;
    other_count = 0;
    lost_index = -1;
    init_code = file ? SUCCESS : DRIVER_NOT_LOADED;
    if (!file)
        return;
    while (fgets(line, sizeof line, file))
        read_line(line);
    fclose(file);
}

static nvml_return copy_text(const char *text, char *buffer, unsigned length)
{
    if (!buffer)
        return INVALID_ARGUMENT;
    if (strlen(text) + 1 > length)
        return INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return SUCCESS;
}

/* A handle is the index plus one, so that no valid handle is NULL; a slice's has its number, from 1, above that. */
static unsigned index_of(nvml_device device)
{
    return (unsigned)((uintptr_t)device & HANDLE_MASK) - 1;
}

static nvml_return check(nvml_device device)
{
    uintptr_t number = (uintptr_t)device & HANDLE_MASK;

    if (!initialized)
        return UNINITIALIZED;
    return number >= 1 && number <= device_count ? SUCCESS : INVALID_ARGUMENT;
}

static int fact(nvml_device device, const char *word, int otherwise)
{
    unsigned i, index = index_of(device);

    for (i = 0; i < fact_count; i++)
        if (facts[i].index == index && !strcmp(facts[i].word, word))
            return facts[i].value;
    return otherwise;
}

static const char *name_of(nvml_device device)
{
    unsigned i;

    for (i = 0; i < other_count; i++)
        if (others[i].index == index_of(device))
            return others[i].name;
    return device_name;
}

static unsigned long long bytes_of(nvml_device device)
{
    unsigned i;

    for (i = 0; i < other_count; i++)
        if (others[i].index == index_of(device))
            return others[i].memory_mib << 20;
    return memory_mib << 20;
}

nvml_return nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    read_configuration();
    if (init_code == SUCCESS)
        initialized++;
    return init_code;
}

nvml_return nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvml_return nvmlInit(void) { return nvmlInitWithFlags(0); }

nvml_return nvmlShutdown(void)
{
    if (!initialized)
        return UNINITIALIZED;
    initialized--;
    return SUCCESS;
}

nvml_return nvmlDeviceGetCount_v2(unsigned *count)
{
    if (!initialized)
        return UNINITIALIZED;
    if (!count)
        return INVALID_ARGUMENT;
    *count = device_count;
    return SUCCESS;
}

nvml_return nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }

nvml_return nvmlDeviceGetHandleByIndex_v2(unsigned index, nvml_device *device)
{
    if (!initialized)
        return UNINITIALIZED;
    if (!device || index >= device_count)
        return INVALID_ARGUMENT;
    if ((int)index == lost_index)
        return GPU_IS_LOST;
    *device = (nvml_device)(uintptr_t)(index + 1);
    return fact(*device, "handle", SUCCESS);
}

nvml_return nvmlDeviceGetHandleByIndex(unsigned index, nvml_device *device)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

nvml_return nvmlDeviceGetIndex(nvml_device device, unsigned *index)
{
    nvml_return code = check(device);

    if (code == SUCCESS)
        *index = index_of(device);
    return code;
}

/* The driver's number of the device node: /dev/nvidia0. */
nvml_return nvmlDeviceGetMinorNumber(nvml_device device, unsigned *minor)
{
    return nvmlDeviceGetIndex(device, minor);
}

nvml_return nvmlDeviceGetName(nvml_device device, char *name, unsigned length)
{
    nvml_return code = check(device);

    return code == SUCCESS ? copy_text(name_of(device), name, length) : code;
}

nvml_return nvmlDeviceGetUUID(nvml_device device, char *uuid, unsigned length)
{
    char text[64];
    nvml_return code = check(device);
    unsigned slice = (unsigned)((uintptr_t)device >> SLICE_SHIFT);

    if (code != SUCCESS)
        return code;
    snprintf(text, sizeof text, "%s-00000000-0000-0000-%04x-%012x", slice ? "MIG" : "GPU", slice, index_of(device));
    return copy_text(text, uuid, length);
}

nvml_return nvmlDeviceGetMemoryInfo(nvml_device device, memory_v1 *memory)
{
    nvml_return code = check(device);

    if (code != SUCCESS)
        return code;
    if (!memory)
        return INVALID_ARGUMENT;
    memory->total = memory->free = bytes_of(device);
    memory->used = 0;
    return SUCCESS;
}

nvml_return nvmlDeviceGetMemoryInfo_v2(nvml_device device, memory_v2 *memory)
{
    nvml_return code = check(device);

    if (code != SUCCESS)
        return code;
    if (!memory)
        return INVALID_ARGUMENT;
    memory->total = memory->free = bytes_of(device);
    memory->reserved = memory->used = 0;
    return SUCCESS;
}

nvml_return nvmlDeviceGetTotalEccErrors(nvml_device device, int type, int counter, unsigned long long *errors)
{
    nvml_return code = check(device);

    if (code == SUCCESS)
        *errors = type == UNCORRECTED && counter == VOLATILE ? (unsigned)fact(device, "ecc", 0) : 0;
    return code;
}

nvml_return nvmlDeviceGetRemappedRows(nvml_device device, unsigned *corrected, unsigned *uncorrected,
                                      unsigned *pending, unsigned *failed)
{
    nvml_return code = check(device);

    if (code != SUCCESS)
        return code;
    if (!fact(device, "remap-known", 1))
        return NOT_SUPPORTED;
    *corrected = *uncorrected = 0;
    *pending = (unsigned)fact(device, "remap-pending", 0);
    *failed = (unsigned)fact(device, "remap-failed", 0);
    return SUCCESS;
}

nvml_return nvmlDeviceGetRetiredPagesPendingStatus(nvml_device device, unsigned *pending)
{
    nvml_return code = check(device);

    if (code == SUCCESS)
        *pending = (unsigned)fact(device, "pages-pending", 0);
    return code;
}

nvml_return nvmlDeviceGetMigMode(nvml_device device, unsigned *current, unsigned *pending)
{
    nvml_return code = check(device);

    if (code == SUCCESS)
        *current = *pending = fact(device, "mig", -1) >= 0;
    return code;
}

nvml_return nvmlDeviceGetMaxMigDeviceCount(nvml_device device, unsigned *count)
{
    nvml_return code = check(device);

    if (code == SUCCESS)
        *count = MIG_SLOTS;
    return code;
}

nvml_return nvmlDeviceGetMigDeviceHandleByIndex(nvml_device device, unsigned index, nvml_device *slice)
{
    nvml_return code = check(device);

    if (code != SUCCESS)
        return code;
    if ((int)index >= fact(device, "mig", -1))
        return NOT_FOUND;
    *slice = (nvml_device)((uintptr_t)device | ((uintptr_t)index + 1) << SLICE_SHIFT);
    return SUCCESS;
}

nvml_return nvmlDeviceGetFieldValues(nvml_device device, int count, field_value *values)
{
    nvml_return code = check(device);
    int i, action;

    if (code != SUCCESS)
        return code;
    action = fact(device, "recovery", 0);
    for (i = 0; i < count; i++) {
        values[i].code = values[i].field == FIELD_RECOVERY_ACTION && action >= 0 ? SUCCESS : NOT_SUPPORTED;
        values[i].value_type = VALUE_UNSIGNED;
        values[i].value.wide = 0;
        values[i].value.number = (unsigned)action;
    }
    return SUCCESS;
}

nvml_return nvmlDeviceGetGpuFabricInfo(nvml_device device, fabric_v1 *fabric)
{
    nvml_return code = check(device);
    unsigned cluster;

    if (code != SUCCESS)
        return code;
    if (fact(device, "fabric", 0) == -3)
        abort();
    while (fact(device, "fabric", 0) == -2)
        pause();
    if (fact(device, "fabric", 0) < 0)
        return NOT_SUPPORTED;
    cluster = (unsigned)fact(device, "fabric-cluster", 0);
    memset(fabric, 0, sizeof *fabric);
    if (cluster)
        fabric->uuid[0] = 0xfa;
    fabric->uuid[14] = (unsigned char)(cluster >> 8);
    fabric->uuid[15] = (unsigned char)cluster;
    fabric->status = fact(device, "fabric-status", SUCCESS);
    fabric->clique = (unsigned)fact(device, "fabric-clique", 0);
    fabric->state = (unsigned char)fact(device, "fabric", 0);
    return SUCCESS;
}

/* The version has the size of the structure in its low bytes, as NVML_STRUCT_VERSION puts it there. */
nvml_return nvmlDeviceGetGpuFabricInfoV(nvml_device device, fabric_v2 *fabric)
{
    fabric_v1 first;
    nvml_return code = nvmlDeviceGetGpuFabricInfo(device, &first);

    if (code != SUCCESS)
        return code;
    if (fabric->version != ((unsigned)sizeof *fabric | 2u << 24))
        return VERSION_MISMATCH;
    memcpy(fabric->uuid, first.uuid, sizeof first.uuid);
    fabric->status = first.status;
    fabric->clique = first.clique;
    fabric->state = first.state;
    fabric->health_mask = 0;
    return SUCCESS;
}

/* Idle: Ray's dashboard asks every few seconds, and shows no device without these three. */
nvml_return nvmlDeviceGetUtilizationRates(nvml_device device, utilization *rates)
{
    nvml_return code = check(device);

    if (code == SUCCESS)
        rates->gpu = rates->memory = 0;
    return code;
}

nvml_return nvmlDeviceGetComputeRunningProcesses_v3(nvml_device device, unsigned *count, void *processes)
{
    nvml_return code = check(device);
    unsigned running;

    if (code != SUCCESS)
        return code;
    running = (unsigned)fact(device, "processes", 0);
    code = running > *count ? INSUFFICIENT_SIZE : SUCCESS;
    if (code == SUCCESS && running)
        memset(processes, 0, running * PROCESS_BYTES);
    *count = running;
    return code;
}

nvml_return nvmlDeviceGetGraphicsRunningProcesses_v3(nvml_device device, unsigned *count, void *processes)
{
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, processes);
}

/* Finds the XID with this number in the file, counted from 0; returns how many there are. */
static unsigned find_xid(unsigned number, unsigned *index, unsigned *xid)
{
    char line[160];
    unsigned count = 0, device, code;
    FILE *file = configuration();

    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "xid %u %u", &device, &code) == 2 && count++ == number) {
            *index = device;
            *xid = code;
        }
    fclose(file);
    return count;
}

nvml_return nvmlEventSetCreate(event_set *set)
{
    unsigned index, xid;

    if (!initialized)
        return UNINITIALIZED;
    *set = calloc(1, sizeof **set);
    if (!*set)
        return UNKNOWN;
    (*set)->told = find_xid(0, &index, &xid);
    return SUCCESS;
}

nvml_return nvmlEventSetFree(event_set set)
{
    free(set);
    return SUCCESS;
}

nvml_return nvmlDeviceGetSupportedEventTypes(nvml_device device, unsigned long long *types)
{
    nvml_return code = check(device);

    if (code == SUCCESS)
        *types = fact(device, "events", 1) ? XID_EVENT : 0;
    return code;
}

nvml_return nvmlDeviceRegisterEvents(nvml_device device, unsigned long long types, event_set set)
{
    nvml_return code = check(device);
    uintptr_t index = (uintptr_t)device - 1;

    if (code != SUCCESS)
        return code;
    if (types != XID_EVENT || !fact(device, "events", 1) || index >= MOST_REGISTERED)
        return NOT_SUPPORTED;
    set->registered |= 1u << index;
    return SUCCESS;
}

/* As the library does: it sleeps until an event of a registered device, or the time is over. */
nvml_return nvmlEventSetWait_v2(event_set set, event_data *data, unsigned timeout_ms)
{
    unsigned waited, index, xid;

    for (waited = 0;; waited += EVENT_POLL_MS) {
        while (find_xid(set->told, &index, &xid) > set->told) {
            set->told++;
            if (index >= MOST_REGISTERED || !(set->registered >> index & 1))
                continue;
            data->device = (nvml_device)(uintptr_t)(index + 1);
            data->type = XID_EVENT;
            data->data = xid;
            data->gpu_instance = data->compute_instance = (unsigned)NO_INSTANCE;
            return SUCCESS;
        }
        if (waited >= timeout_ms)
            return TIMEOUT;
        usleep(EVENT_POLL_MS * 1000);
    }
}

nvml_return nvmlEventSetWait(event_set set, event_data *data, unsigned timeout_ms)
{
    return nvmlEventSetWait_v2(set, data, timeout_ms);
}

nvml_return nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    return initialized ? copy_text("0.0-emulated", version, length) : UNINITIALIZED;
}

const char *nvmlErrorString(nvml_return code)
{
    switch (code) {
    case SUCCESS: return "The operation was successful";
    case UNINITIALIZED: return "NVML was not first initialized with nvmlInit()";
    case INVALID_ARGUMENT: return "A supplied argument is invalid";
    case NOT_SUPPORTED: return "The requested operation is not available on target device";
    case NOT_FOUND: return "A query to find an object was unsuccessful";
    case INSUFFICIENT_SIZE: return "An input argument is not large enough";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case TIMEOUT: return "User provided timeout passed";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}
