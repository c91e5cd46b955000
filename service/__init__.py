"""The central service; `service.wiring` alone knows all others."""
