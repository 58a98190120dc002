"""Key stores: where backing keys live and work. The native one is the software HSM."""
