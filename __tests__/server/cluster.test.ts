import { describeCluster } from '../helpers/cluster-suite';
import { openMemory } from '../helpers/memory-engine';

describeCluster('an engine in memory', openMemory);
