import { describeDartCluster } from '../helpers/cluster-dart-suite';
import { openMemory } from '../helpers/memory-engine';

describeDartCluster('an engine in memory', openMemory);
