"""The lab: takes the transport apart, one mechanism at a time, and shows what each of them was good for."""
