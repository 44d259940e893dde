/* Rust's std takes its random numbers from ProcessPrng, which Wine has from version 9 on.
   Debian 12 has version 8, so this stands in for it. Only for tests. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng (PBYTE data, SIZE_T size)
{
    return RtlGenRandom (data, (ULONG) size);
}
