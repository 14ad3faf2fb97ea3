/* A stand-in for libnvidia-ml.so.1: it answers what the key=value file in $FAKE_NVML says.
 *
 * init = 18              nvmlInit_v2 returns this error; "hang" and "crash" do just that
 * driver, cuda, count    of the system
 * gpu0.name = ...        one field of one GPU; gpu*.name of every GPU that has no line of its own
 * gpu0.memory = error 3  the call for this field returns this error; so does a field without a line
 * gpu0.mig0.name = ...   a MIG instance; gpu0.handle = error 15 is a GPU that is lost
 * gpu0.rows = 4 1 1 0    remapped rows: correctable, uncorrectable, pending, failed
 * gpu0.process0 = 4711 8589934592 /usr/bin/python3   a process: id, bytes, what its program is
 * path0-1 = 50           topology between two GPUs; gpu0.nvlink3 = switch, or the bus id of a peer
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7

typedef struct { int gpu; int slice; } Handle;
static Handle gpus[64];
static Handle slices[64][8];

static int look_up(const char *key, char *value, size_t size) {
    char line[512];
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    size_t length = strlen(key);
    int found = 0;
    while (file && !found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, key, length) == 0 && strncmp(line + length, " = ", 3) == 0) {
            snprintf(value, size, "%s", line + length + 3);
            found = 1;
        }
    }
    if (file) fclose(file);
    return found;
}

/* 0 and the value, or the error that the file or the absence of a line stands for. */
static int field(Handle *handle, const char *name, char *value, size_t size) {
    char key[128];
    if (handle->slice >= 0)
        snprintf(key, sizeof key, "gpu%d.mig%d.%s", handle->gpu, handle->slice, name);
    else
        snprintf(key, sizeof key, "gpu%d.%s", handle->gpu, name);
    if (!look_up(key, value, size)) {
        snprintf(key, sizeof key, "gpu*.%s", name);
        if (handle->slice >= 0 || !look_up(key, value, size)) return NOT_SUPPORTED;
    }
    int error = 0;
    return sscanf(value, "error %d", &error) == 1 ? error : 0;
}

static int number(Handle *handle, const char *name, unsigned *out) {
    char value[256];
    int error = field(handle, name, value, sizeof value);
    if (!error) *out = (unsigned)strtoul(value, NULL, 10);
    return error;
}

int nvmlInitWithFlags(unsigned flags) {
    char value[64];
    (void)flags;
    if (!look_up("init", value, sizeof value)) return 0;
    if (!strcmp(value, "hang")) for (;;) pause();
    if (!strcmp(value, "crash")) raise(SIGSEGV);
    return atoi(value);
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    return look_up("driver", out, size) ? 0 : NOT_SUPPORTED;
}
int nvmlSystemGetCudaDriverVersion_v2(int *out) {
    char value[64];
    if (!look_up("cuda", value, sizeof value)) return NOT_SUPPORTED;
    *out = atoi(value);
    return 0;
}
int nvmlSystemGetCudaDriverVersion(int *out) { return nvmlSystemGetCudaDriverVersion_v2(out); }

int nvmlDeviceGetCount_v2(unsigned *out) {
    char value[64];
    *out = look_up("count", value, sizeof value) ? (unsigned)atoi(value) : 0;
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle **out) {
    char value[64];
    gpus[index].gpu = (int)index;
    gpus[index].slice = -1;
    *out = &gpus[index];
    int error = field(*out, "handle", value, sizeof value);
    return error == NOT_SUPPORTED ? 0 : error;
}
int nvmlDeviceGetName(Handle *handle, char *out, unsigned size) { return field(handle, "name", out, size); }

typedef struct { unsigned long long total, free, used; } Memory;
int nvmlDeviceGetMemoryInfo(Handle *handle, Memory *out) {
    char value[64];
    int error = field(handle, "memory", value, sizeof value);
    if (!error) out->total = strtoull(value, NULL, 10);
    return error;
}
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;
int nvmlDeviceGetMemoryInfo_v2(Handle *handle, MemoryV2 *out) {
    Memory first = {0, 0, 0};
    int error = nvmlDeviceGetMemoryInfo(handle, &first);
    out->total = first.total;
    return error;
}
int nvmlDeviceGetCudaComputeCapability(Handle *handle, int *major, int *minor) {
    char value[64];
    int error = field(handle, "cc", value, sizeof value);
    if (!error) sscanf(value, "%d.%d", major, minor);
    return error;
}

typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
static int pci(Handle *handle, const char *name, Pci *out) {
    return field(handle, name, out->bus_id, sizeof out->bus_id);
}
int nvmlDeviceGetPciInfo_v3(Handle *handle, Pci *out) { return pci(handle, "bus_id", out); }

int nvmlDeviceGetMigMode(Handle *handle, unsigned *now, unsigned *pending) {
    *pending = 0;
    return number(handle, "mig", now);
}
int nvmlDeviceGetMaxMigDeviceCount(Handle *handle, unsigned *out) { (void)handle; *out = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(Handle *handle, unsigned index, Handle **out) {
    char value[64];
    Handle *slice = &slices[handle->gpu][index];
    slice->gpu = handle->gpu;
    slice->slice = (int)index;
    *out = slice;
    return field(slice, "name", value, sizeof value) ? NOT_FOUND : 0;
}
int nvmlDeviceGetEccMode(Handle *handle, unsigned *now, unsigned *pending) {
    *pending = 0;
    return number(handle, "ecc", now);
}
int nvmlDeviceGetPersistenceMode(Handle *handle, unsigned *out) { return number(handle, "persistence", out); }
int nvmlDeviceGetVirtualizationMode(Handle *handle, unsigned *out) {
    return number(handle, "virtualization", out);
}
int nvmlDeviceGetCurrPcieLinkWidth(Handle *handle, unsigned *out) { return number(handle, "width", out); }
int nvmlDeviceGetMaxPcieLinkWidth(Handle *handle, unsigned *out) { return number(handle, "width_max", out); }
int nvmlDeviceGetCurrPcieLinkGeneration(Handle *handle, unsigned *out) {
    return number(handle, "generation", out);
}
int nvmlDeviceGetMaxPcieLinkGeneration(Handle *handle, unsigned *out) {
    return number(handle, "generation_max", out);
}


int nvmlDeviceGetRemappedRows(Handle *handle, unsigned *one, unsigned *two, unsigned *pending, unsigned *failed) {
    char value[64];
    int error = field(handle, "rows", value, sizeof value);
    if (!error) sscanf(value, "%u %u %u %u", one, two, pending, failed);
    return error;
}
int nvmlDeviceGetTotalEccErrors(Handle *handle, unsigned kind, unsigned since, unsigned long long *out) {
    unsigned count = 0;
    int error = kind == 1 ? number(handle, since ? "uncorrected_ever" : "uncorrected", &count) : NOT_SUPPORTED;
    *out = count;
    return error;
}
int nvmlDeviceGetRetiredPagesPendingStatus(Handle *handle, unsigned *out) {
    return number(handle, "pages_pending", out);
}
int nvmlDeviceGetClockInfo(Handle *handle, unsigned kind, unsigned *out) {
    return kind == 1 ? number(handle, "sm", out) : NOT_SUPPORTED;
}
int nvmlDeviceGetMaxClockInfo(Handle *handle, unsigned kind, unsigned *out) {
    return kind == 1 ? number(handle, "sm_max", out) : NOT_SUPPORTED;
}
int nvmlDeviceGetApplicationsClock(Handle *handle, unsigned kind, unsigned *out) {
    return kind == 1 ? number(handle, "application", out) : NOT_SUPPORTED;
}
int nvmlDeviceGetDefaultApplicationsClock(Handle *handle, unsigned kind, unsigned *out) {
    return kind == 1 ? number(handle, "application_default", out) : NOT_SUPPORTED;
}
int nvmlDeviceGetPowerManagementLimit(Handle *handle, unsigned *out) { return number(handle, "power", out); }
int nvmlDeviceGetPowerManagementDefaultLimit(Handle *handle, unsigned *out) {
    return number(handle, "power_default", out);
}
/* As older drivers have it; the binding's newer name is not found. */
int nvmlDeviceGetCurrentClocksThrottleReasons(Handle *handle, unsigned long long *out) {
    unsigned bits = 0;
    int error = number(handle, "throttling", &bits);
    *out = bits;
    return error;
}
typedef struct { unsigned pid; unsigned long long memory; unsigned instance, compute; } Process;
static int process(Handle *handle, unsigned index, char *value, size_t size) {
    char name[32];
    snprintf(name, sizeof name, "process%u", index);
    return field(handle, name, value, size);
}
int nvmlDeviceGetComputeRunningProcesses_v3(Handle *handle, unsigned *count, Process *out) {
    char value[256];
    unsigned room = *count;
    for (*count = 0; !process(handle, *count, value, sizeof value); ++*count)
        if (*count < room) sscanf(value, "%u %llu", &out[*count].pid, &out[*count].memory);
    return *count > room ? INSUFFICIENT_SIZE : 0;
}
int nvmlSystemGetProcessName(unsigned pid, char *out, unsigned size) {
    char value[256];
    for (unsigned gpu = 0; gpu < 64; ++gpu) {
        Handle handle = {(int)gpu, -1};
        for (unsigned index = 0; !process(&handle, index, value, sizeof value); ++index) {
            char *rest;
            if (strtoul(value, &rest, 10) != pid) continue;
            strtoull(rest, &rest, 10);
            if (!*rest) return NOT_FOUND;
            snprintf(out, size, "%s", rest + 1);
            return 0;
        }
    }
    return NOT_FOUND;
}
typedef struct { unsigned version; unsigned char cluster[16]; unsigned status, clique; unsigned char state; unsigned health; } Fabric;
int nvmlDeviceGetGpuFabricInfoV(Handle *handle, Fabric *out) {
    unsigned state = 0;
    int error = number(handle, "fabric", &state);
    out->state = (unsigned char)state;
    out->status = 0;
    return error;
}

int nvmlDeviceGetTopologyCommonAncestor(Handle *one, Handle *other, unsigned *out) {
    char key[64], value[64];
    snprintf(key, sizeof key, "path%d-%d", one->gpu, other->gpu);
    if (!look_up(key, value, sizeof value) && !look_up("path*", value, sizeof value)) return NOT_SUPPORTED;
    *out = (unsigned)atoi(value);
    return 0;
}
static int nvlink(Handle *handle, unsigned link, char *value, size_t size) {
    char name[32];
    snprintf(name, sizeof name, "nvlink%u", link);
    return field(handle, name, value, size);
}
int nvmlDeviceGetNvLinkState(Handle *handle, unsigned link, unsigned *out) {
    char value[64];
    int error = nvlink(handle, link, value, sizeof value);
    *out = error ? 0 : strcmp(value, "down") != 0;
    return error;
}
int nvmlDeviceGetNvLinkRemoteDeviceType(Handle *handle, unsigned link, unsigned *out) {
    char value[64];
    int error = nvlink(handle, link, value, sizeof value);
    *out = !error && !strcmp(value, "switch") ? 2 : 0;
    return error;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(Handle *handle, unsigned link, Pci *out) {
    return nvlink(handle, link, out->bus_id, sizeof out->bus_id);
}
